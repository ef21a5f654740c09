/*
 * Makes the system calls that a script names, one a line, and prints each answer as a line: what the same script says on two
 * file systems can then be compared. `open f path rw,creat 0644` names a descriptor; `process bob 1000` starts a process
 * with that identity, and `bob: …` has it make a call. `\xff` in a word is that byte. A line that is wrong ends the run.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LINE 70000
#define WORDS 64

static char **word;
static int words;
static char out[LINE];
static int used;

static void say(const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(out + used, sizeof out - used, format, args);
  va_end(args);
  if (n > 0) used += n;
  if (used >= (int)sizeof out) used = sizeof out - 1;
}

static void usage(const char *what) {
  fprintf(stderr, "bad script line: %s (%s)\n", words > 0 ? word[0] : "", what);
  exit(2);
}

static const char *arg(int i) {
  if (i >= words) usage("a word is missing");
  return word[i];
}

static long long number(int i) {
  char *end;
  const char *text = arg(i);
  long long value = strtoll(text, &end, 0);
  if (*end != 0 || end == text) usage("not a number");
  return value;
}

static int answer(long long result) {
  if (result < 0) say("%s", strerrorname_np(errno));
  return result < 0;
}

static void done(long long result) {
  if (!answer(result)) say("ok");
}

struct flag { const char *name; long long value; };

static long long flags(int i, const struct flag *known) {
  if (i >= words) return 0;
  char copy[256];
  snprintf(copy, sizeof copy, "%s", word[i]);
  long long value = 0;
  for (char *part = strtok(copy, ","); part; part = strtok(NULL, ",")) {
    const struct flag *at = known;
    while (at->name && strcmp(at->name, part) != 0) at++;
    if (!at->name) usage(part);
    value |= at->value;
  }
  return value;
}

static struct { char name[32]; long value; } variables[64];

static long *variable(const char *name, int make) {
  for (int i = 0; i < 64; i++) {
    if (strcmp(variables[i].name, name) == 0) return &variables[i].value;
    if (variables[i].name[0] == 0) {
      if (!make) usage("no such variable");
      snprintf(variables[i].name, sizeof variables[i].name, "%s", name);
      return &variables[i].value;
    }
  }
  usage("too many variables");
  return NULL;
}

static int fd(int i) { return (int)*variable(arg(i), 0); }

static void bytes(const unsigned char *data, ssize_t length) {
  for (ssize_t i = 0; i < length && i < 200; i++) {
    if (data[i] >= 33 && data[i] < 127 && data[i] != '\\') say("%c", data[i]);
    else if (data[i] == ' ') say("_");
    else say("\\x%02x", data[i]);
  }
  if (length == 0) say("(empty)");
}

static const struct flag open_flags[] = {
  {"r", O_RDONLY}, {"w", O_WRONLY}, {"rw", O_RDWR}, {"creat", O_CREAT}, {"excl", O_EXCL}, {"trunc", O_TRUNC},
  {"append", O_APPEND}, {"direct", O_DIRECT}, {"tmpfile", O_TMPFILE}, {"directory", O_DIRECTORY},
  {"nofollow", O_NOFOLLOW}, {"path", O_PATH}, {"nonblock", O_NONBLOCK}, {"sync", O_SYNC}, {0, 0}};
static const struct flag rename_flags[] = {{"noreplace", 1}, {"exchange", 2}, {"whiteout", 4}, {0, 0}};
static const struct flag xattr_flags[] = {{"create", XATTR_CREATE}, {"replace", XATTR_REPLACE}, {0, 0}};
static const struct flag allocate_modes[] = {
  {"none", 0}, {"keep", FALLOC_FL_KEEP_SIZE}, {"punch", FALLOC_FL_PUNCH_HOLE}, {"collapse", FALLOC_FL_COLLAPSE_RANGE},
  {"zero", FALLOC_FL_ZERO_RANGE}, {"insert", FALLOC_FL_INSERT_RANGE}, {"unshare", FALLOC_FL_UNSHARE_RANGE}, {0, 0}};
static const struct flag types[] = {
  {"fifo", S_IFIFO}, {"socket", S_IFSOCK}, {"char", S_IFCHR}, {"block", S_IFBLK}, {"file", S_IFREG}, {0, 0}};
static const struct flag flock_flags[] = {{"sh", LOCK_SH}, {"ex", LOCK_EX}, {"un", LOCK_UN}, {0, 0}};
static const struct flag lock_types[] = {{"read", F_RDLCK}, {"write", F_WRLCK}, {"none", F_UNLCK}, {0, 0}};
static const struct flag protections[] = {{"r", PROT_READ}, {"rw", PROT_READ | PROT_WRITE}, {0, 0}};
static const struct flag sharing[] = {{"shared", MAP_SHARED}, {"private", MAP_PRIVATE}, {0, 0}};

/** What is asked of the attributes, by the words from `from` on. */
static void attributes(const struct stat *st, int from) {
  for (int i = from; i < words; i++) {
    const char *what = word[i];
    if (i > from) say(" ");
    if (strcmp(what, "mode") == 0) say("%o", st->st_mode);
    else if (strcmp(what, "nlink") == 0) say("nlink=%ld", (long)st->st_nlink);
    else if (strcmp(what, "owner") == 0) say("%d:%d", st->st_uid, st->st_gid);
    else if (strcmp(what, "size") == 0) say("%lld", (long long)st->st_size);
    else if (strcmp(what, "blocks") == 0) say("blocks=%lld", (long long)st->st_blocks);
    else if (strcmp(what, "rdev") == 0) say("%d,%d", major(st->st_rdev), minor(st->st_rdev));
    else if (strcmp(what, "mtime") == 0) say("%lld.%09ld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    else if (strcmp(what, "atime") == 0) say("%lld.%09ld", (long long)st->st_atim.tv_sec, st->st_atim.tv_nsec);
    else if (strncmp(what, "ino=", 4) == 0) {
      /* The first time the number gets this name; later the two must be the same. */
      char name[32];
      snprintf(name, sizeof name, "ino %.20s", what + 4);
      long *seen = variable(name, 1);
      if (*seen == 0) *seen = (long)st->st_ino;
      say(*seen == (long)st->st_ino ? "same" : "other");
    } else usage(what);
  }
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void list(const char *path) {
  struct dirent **entries;
  int count = scandir(path, &entries, NULL, by_name);
  if (answer(count)) return;
  int shown = 0;
  for (int i = 0; i < count; i++) {
    if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0) {
      if (shown++ > 0) say(" ");
      bytes((unsigned char *)entries[i]->d_name, strlen(entries[i]->d_name));
    }
  }
  if (shown == 0) say("(empty)");
}

/** Compares d_ino with st_ino, and both among the entries. */
static void inodes(const char *path) {
  DIR *dir = opendir(path);
  if (dir == NULL) { answer(-1); return; }
  int count = 0, different = 0, twice = 0;
  static ino_t seen[10000];
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    struct stat st;
    if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) { answer(-1); return; }
    if (st.st_ino != entry->d_ino && strcmp(entry->d_name, "..") != 0) different++;
    for (int i = 0; i < count; i++) if (seen[i] == st.st_ino) twice++;
    if (count < 10000) seen[count++] = st.st_ino;
  }
  closedir(dir);
  say("%d entries, %d differ, %d twice", count, different, twice);
}

/** Makes files up to the one numbered `count`, or removes every tenth one while the directory is read. */
static void crowd(const char *path, const char *what, int count) {
  char name[4096];
  int removed = 0, listed = 0, made = 0;
  if (strcmp(what, "make") == 0) {
    for (int i = words > 4 ? (int)number(4) : 0; i < count; i++) {
      snprintf(name, sizeof name, "%s/file-%d", path, i);
      if (answer(mknod(name, S_IFREG | 0644, 0))) return;
      made++;
    }
    say("%d made", made);
    return;
  }
  DIR *dir = opendir(path);
  if (dir == NULL) { answer(-1); return; }
  unsigned char *seen = calloc(count, 1);
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    int serial;
    if (sscanf(entry->d_name, "file-%d", &serial) != 1) continue;
    if (serial < 0 || serial >= count || seen[serial]++) { say("%s twice", entry->d_name); return; }
    listed++;
    if (serial % 10 == 0 && strcmp(what, "remove") == 0) {
      if (answer(unlinkat(dirfd(dir), entry->d_name, 0))) return;
      removed++;
    }
  }
  closedir(dir);
  free(seen);
  say("%d listed, %d removed", listed, removed);
}

static struct reading { unsigned char times[10000]; } *readings[256];

/** Reads on in an open directory until there were `count` entries more, in small parts; remembers how often each was met. */
static void dents(int dir, long long count) {
  char part[1024];
  if (readings[dir] == NULL) readings[dir] = calloc(1, sizeof **readings);
  while (count > 0) {
    ssize_t n = getdents64(dir, part, sizeof part);
    if (answer(n)) return;
    if (n == 0) { say("end"); return; }
    for (char *at = part; at < part + n; at += ((struct dirent64 *)at)->d_reclen, count--) {
      int serial;
      if (sscanf(((struct dirent64 *)at)->d_name, "file-%d", &serial) == 1) readings[dir]->times[serial % 10000]++;
    }
  }
  say("more");
}

/** How often a reader has met the first `count` files of a crowd; every tenth, which may have come and gone, only if twice. */
static void met(int dir, int count) {
  int once = 0, never = 0, twice = 0;
  for (int i = 0; i < count; i++) {
    int times = readings[dir]->times[i];
    if (times > 1) twice++;
    else if (i % 10 != 0) { if (times == 1) once++; else never++; }
  }
  say("%d once, %d never, %d twice", once, never, twice);
}

static void rewound(int dir, off_t to) {
  if (answer(lseek(dir, to, SEEK_SET))) return;
  if (readings[dir] != NULL) memset(readings[dir], 0, sizeof **readings);
  say("ok");
}

/** Reads to the end twice from one place. */
static void replay(int dir) {
  off_t at = lseek(dir, 0, SEEK_CUR);
  rewound(dir, at);
  dents(dir, 1 << 30);
  struct reading first = *readings[dir];
  rewound(dir, at);
  dents(dir, 1 << 30);
  used = 0;
  say(memcmp(&first, readings[dir], sizeof first) == 0 ? "same" : "other");
}

/** Nests `depth` directories of 100 bytes a name, below the working directory, which does not move. */
static void deep(const char *what, int depth) {
  char name[101];
  memset(name, 'd', 100);
  name[100] = 0;
  int here = open(".", O_RDONLY | O_DIRECTORY);
  int at = dup(here);
  for (int i = 0; i < depth; i++) {
    if (strcmp(what, "make") == 0 && answer(mkdirat(at, name, 0755))) return;
    int next = openat(at, name, O_RDONLY | O_DIRECTORY);
    if (answer(next)) return;
    close(at);
    at = next;
  }
  if (strcmp(what, "touch") == 0) {
    int file = openat(at, "bottom", O_CREAT | O_RDWR, 0644);
    if (answer(file)) return;
    close(file);
  }
  struct stat st;
  if (!answer(fstatat(at, strcmp(what, "make") == 0 ? "." : "bottom", &st, 0))) say("%o", st.st_mode);
  close(at);
  close(here);
}

static void lock(int command) {
  struct flock request = {.l_type = flags(2, lock_types), .l_whence = SEEK_SET, .l_start = number(3), .l_len = number(4)};
  int result = fcntl(fd(1), command, &request);
  if (answer(result)) return;
  if (command != F_GETLK) say("ok");
  else say(request.l_type == F_UNLCK ? "free" : request.l_type == F_RDLCK ? "read" : "write");
}

/** Prints what a command prints, its lines joined; its exit status if that is not 0. */
static void run(void) {
  int ends[2];
  if (pipe(ends) != 0) exit(2);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    close(ends[0]);
    execvp(word[1], word + 1);
    printf("%s", strerrorname_np(errno));
    fflush(stdout);
    _exit(126);
  }
  close(ends[1]);
  char text[4096];
  for (ssize_t n; (n = read(ends[0], text, sizeof text)) > 0;)
    for (ssize_t i = 0; i < n; i++) say("%c", text[i] == '\n' ? '|' : text[i] == '\t' ? ' ' : text[i]);
  close(ends[0]);
  int status;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) say(" signal %d", WTERMSIG(status));
  else if (WEXITSTATUS(status) != 0) say(" status %d", WEXITSTATUS(status));
  if (used == 0) say("ok");
}

static void capabilities(void) {
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  while (fgets(line, sizeof line, status)) {
    if (strncmp(line, "CapEff:", 7) == 0) say("%.16s", line + 8);
    if (strncmp(line, "Uid:", 4) == 0) {
      int real, effective;
      sscanf(line, "Uid: %d %d", &real, &effective);
      say("uid %d ", effective);
    }
  }
  fclose(status);
}

static void call(void) {
  const char *op = arg(0);
  struct stat st;
  static unsigned char data[65536];
#define IS(name) (strcmp(op, name) == 0)
  if (IS("open")) {
    int result = open(arg(2), flags(3, open_flags), words > 4 ? (mode_t)number(4) : 0);
    if (!answer(result)) { *variable(arg(1), 1) = result; say("ok"); }
  } else if (IS("close")) done(close(fd(1)));
  else if (IS("pwrite")) {
    ssize_t n = pwrite(fd(1), arg(3), strlen(arg(3)), number(2));
    if (!answer(n)) say("%zd", n);
  } else if (IS("write")) {
    ssize_t n = write(fd(1), arg(2), strlen(arg(2)));
    if (!answer(n)) say("%zd", n);
  } else if (IS("blocks")) { /* aligned, for O_DIRECT: `count` bytes of `byte` at `offset` */
    void *buffer;
    if (posix_memalign(&buffer, 4096, number(4)) != 0) exit(2);
    memset(buffer, arg(3)[0], number(4));
    ssize_t n = pwrite(fd(1), buffer, number(4), number(2));
    free(buffer);
    if (!answer(n)) say("%zd", n);
  } else if (IS("pread")) {
    void *buffer;
    if (posix_memalign(&buffer, 4096, 65536) != 0) exit(2);
    ssize_t n = pread(fd(1), buffer, number(3), number(2));
    if (!answer(n)) bytes(buffer, n);
    free(buffer);
  } else if (IS("appends")) { /* `count` records of 16 bytes, each one write */
    for (int i = 0; i < number(3); i++) {
      char record[32];
      snprintf(record, sizeof record, "%-8s%07d\n", arg(2), i);
      if (answer(write(fd(1), record, 16) == 16 ? 0 : -1)) return;
    }
    say("ok");
  } else if (IS("records")) { /* whole and in each writer's order? */
    char record[17] = {0};
    int count = 0, broken = 0, next[256] = {0};
    for (off_t at = 0; pread(fd(1), record, 16, at) == 16; at += 16) {
      count++;
      if (record[15] != '\n' || atoi(record + 8) != next[(unsigned char)record[0]]++) broken++;
    }
    say("%d records, %d broken", count, broken);
  } else if (IS("stat")) { if (!answer(lstat(arg(1), &st))) attributes(&st, 2); }
  else if (IS("fstat")) { if (!answer(fstat(fd(1), &st))) attributes(&st, 2); }
  else if (IS("list")) list(arg(1));
  else if (IS("inodes")) inodes(arg(1));
  else if (IS("crowd")) crowd(arg(1), arg(2), (int)number(3));
  else if (IS("dents")) dents(fd(1), number(2));
  else if (IS("met")) met(fd(1), (int)number(2));
  else if (IS("rewind")) rewound(fd(1), 0);
  else if (IS("replay")) replay(fd(1));
  else if (IS("deep")) deep(arg(1), (int)number(2));
  else if (IS("mkdir")) done(mkdir(arg(1), (mode_t)number(2)));
  else if (IS("rmdir")) done(rmdir(arg(1)));
  else if (IS("unlink")) done(unlink(arg(1)));
  else if (IS("link")) done(link(arg(1), arg(2)));
  else if (IS("linkfd")) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd(1));
    done(linkat(AT_FDCWD, path, AT_FDCWD, arg(2), AT_SYMLINK_FOLLOW));
  } else if (IS("linkempty")) done(linkat(fd(1), "", AT_FDCWD, arg(2), AT_EMPTY_PATH));
  else if (IS("symlink")) done(symlink(arg(1), arg(2)));
  else if (IS("readlink")) {
    ssize_t n = readlink(arg(1), (char *)data, sizeof data);
    if (!answer(n)) bytes(data, n);
  } else if (IS("rename")) done(renameat2(AT_FDCWD, arg(1), AT_FDCWD, arg(2), flags(3, rename_flags)));
  else if (IS("mknod")) done(mknod(arg(1), flags(2, types) | number(3), words > 4 ? makedev(number(4), number(5)) : 0));
  else if (IS("bind")) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", arg(2));
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    *variable(arg(1), 1) = s;
    done(bind(s, (struct sockaddr *)&address, sizeof address) || listen(s, 16) ? -1 : 0);
  } else if (IS("connect")) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", arg(1));
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    done(connect(s, (struct sockaddr *)&address, sizeof address));
    close(s);
  } else if (IS("chmod")) done(chmod(arg(1), (mode_t)number(2)));
  else if (IS("fchmod")) done(fchmod(fd(1), (mode_t)number(2)));
  else if (IS("chown")) done(lchown(arg(1), (uid_t)number(2), (gid_t)number(3)));
  else if (IS("utimens")) {
    struct timespec times[2] = {{number(2), number(3)}, {number(4), number(5)}};
    done(utimensat(AT_FDCWD, arg(1), times, AT_SYMLINK_NOFOLLOW));
  } else if (IS("truncate")) done(truncate(arg(1), number(2)));
  else if (IS("ftruncate")) done(ftruncate(fd(1), number(2)));
  else if (IS("fallocate")) done(fallocate(fd(1), (int)flags(2, allocate_modes), number(3), number(4)));
  else if (IS("seek")) {
    off_t at = lseek(fd(1), number(3), strcmp(arg(2), "data") == 0 ? SEEK_DATA : SEEK_HOLE);
    if (!answer(at)) say("%lld", (long long)at);
  } else if (IS("copy")) {
    off_t from = number(2), to = number(4);
    long long left = number(5), total = 0;
    for (ssize_t n = 1; left > 0 && n > 0; left -= n, total += n) {
      n = copy_file_range(fd(1), &from, fd(3), &to, left, 0);
      if (n < 0) { answer(n); return; }
    }
    say("%lld", total);
  } else if (IS("fsync")) done(fsync(fd(1)));
  else if (IS("setx")) done(lsetxattr(arg(1), arg(2), arg(3), strlen(arg(3)), flags(4, xattr_flags)));
  else if (IS("sethex")) {
    int n = 0;
    for (const char *hex = arg(3); sscanf(hex, "%2hhx", &data[n]) == 1; hex += 2) n++;
    done(lsetxattr(arg(1), arg(2), data, n, 0));
  } else if (IS("getx")) {
    ssize_t n = lgetxattr(arg(1), arg(2), data, sizeof data);
    if (!answer(n)) bytes(data, n);
  } else if (IS("gethex")) {
    ssize_t n = lgetxattr(arg(1), arg(2), data, sizeof data);
    if (!answer(n)) for (ssize_t i = 0; i < n; i++) say("%02x", data[i]);
  } else if (IS("removex")) done(lremovexattr(arg(1), arg(2)));
  else if (IS("listx")) {
    ssize_t n = llistxattr(arg(1), (char *)data, sizeof data);
    if (answer(n)) return;
    const char *names[64];
    int count = 0;
    for (char *at = (char *)data; at < (char *)data + n && count < 64; at += strlen(at) + 1) {
      int i = count++;
      for (; i > 0 && strcmp(names[i - 1], at) > 0; i--) names[i] = names[i - 1];
      names[i] = at;
    }
    for (int i = 0; i < count; i++) say("%s%s", i > 0 ? " " : "", names[i]);
    if (count == 0) say("(empty)");
  } else if (IS("access")) {
    int mode = 0;
    for (const char *at = arg(2); *at; at++) mode |= *at == 'r' ? R_OK : *at == 'w' ? W_OK : X_OK;
    done(faccessat(AT_FDCWD, arg(1), mode, AT_EACCESS));
  } else if (IS("umask")) { umask((mode_t)number(1)); say("ok"); }
  else if (IS("flock")) done(flock(fd(1), (int)flags(2, flock_flags) | LOCK_NB));
  else if (IS("setlk")) lock(F_SETLK);
  else if (IS("getlk")) lock(F_GETLK);
  else if (IS("ofdlk")) lock(F_OFD_SETLK);
  else if (IS("mmap")) {
    void *map = mmap(NULL, number(5), flags(3, protections), flags(4, sharing), fd(2), 0);
    if (!answer(map == MAP_FAILED ? -1 : 0)) { *variable(arg(1), 1) = (long)map; say("ok"); }
  } else if (IS("store")) {
    memcpy((char *)*variable(arg(1), 0) + number(2), arg(3), strlen(arg(3)));
    say("ok");
  } else if (IS("load")) bytes((unsigned char *)*variable(arg(1), 0) + number(2), number(3));
  else if (IS("msync")) done(msync((void *)*variable(arg(1), 0), number(2), MS_SYNC));
  else if (IS("statvfs")) {
    struct statvfs fs;
    if (!answer(statvfs(arg(1), &fs)))
      say("%lu %lu %llu %lu", fs.f_bsize, fs.f_frsize, (unsigned long long)fs.f_blocks, fs.f_namemax);
  } else if (IS("identity")) { /* what an executed file of set-id bits or capabilities has come to */
    capabilities();
  } else if (IS("run")) { arg(1); run(); }
  else usage("no such call");
}

static void perform(char *line) {
  static char *parts[WORDS + 1];
  words = 0;
  word = parts;
  for (char *part = strtok(line, " \n"); part; part = strtok(NULL, " \n")) {
    if (words == WORDS) usage("too many words");
    parts[words++] = part;
    char *to = part;
    for (char *from = part; *from; from++) {
      unsigned int byte;
      if (from[0] == '\\' && from[1] == 'x' && sscanf(from + 2, "%2x", &byte) == 1) { *to++ = (char)byte; from += 3; }
      else *to++ = *from;
    }
    *to = 0;
  }
  parts[words] = NULL;
  used = 0;
  out[0] = 0;
  call();
}

struct process { char name[32]; FILE *to; FILE *from; };

/** A process of the given user and groups, which makes the calls that it is sent. */
static void start(struct process *process, uid_t uid, gid_t gid) {
  int down[2], up[2];
  fflush(stdout);
  if (pipe(down) != 0 || pipe(up) != 0) exit(2);
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, 9);
    close(down[1]);
    close(up[0]);
    if (uid != 0 && (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0)) _exit(2);
    FILE *requests = fdopen(down[0], "r"), *answers = fdopen(up[1], "w");
    static char line[LINE];
    while (fgets(line, sizeof line, requests)) {
      perform(line);
      fprintf(answers, "%s\n", out);
      fflush(answers);
    }
    _exit(0);
  }
  close(down[0]);
  close(up[1]);
  process->to = fdopen(down[1], "w");
  process->from = fdopen(up[0], "r");
}

int main(int argc, char **argv) {
  static char line[LINE], reply[LINE];
  static struct process processes[16];
  int count = 0;
  if (argc == 5 && strcmp(argv[1], "append") == 0) { /* opens the file itself, for processes at once */
    int file = open(argv[2], O_WRONLY | O_APPEND);
    char record[32];
    for (int i = 0; file >= 0 && i < atoi(argv[4]); i++) {
      snprintf(record, sizeof record, "%-8s%07d\n", argv[3], i);
      if (write(file, record, 16) != 16) return 1;
    }
    return file < 0;
  }
  if (argc > 1) { /* one call, given as arguments */
    word = argv + 1;
    words = argc - 1;
    call();
    puts(out);
    return 0;
  }
  umask(022);
  for (int i = 0; fgets(line, sizeof line, stdin); i++) {
    char name[32];
    unsigned int uid = 0, gid = 0;
    char *colon = strchr(line, ':');
    char *space = strchr(line, ' ');
    if (sscanf(line, "process %31s %u %u", name, &uid, &gid) >= 1 && strncmp(line, "process ", 8) == 0) {
      snprintf(processes[count].name, sizeof processes[count].name, "%s", name);
      start(&processes[count++], uid, gid != 0 ? gid : uid);
      puts("ok");
    } else if (colon && (!space || colon < space) && colon[1] == ' ') {
      *colon = 0;
      struct process *to = NULL;
      for (int p = 0; p < count; p++) if (strcmp(processes[p].name, line) == 0) to = &processes[p];
      if (!to) { fprintf(stderr, "no process %s\n", line); return 2; }
      fputs(colon + 2, to->to);
      fflush(to->to);
      if (!fgets(reply, sizeof reply, to->from)) { fprintf(stderr, "%s died\n", line); return 2; }
      fputs(reply, stdout);
    } else {
      perform(line);
      puts(out);
    }
    fflush(stdout);
  }
  return 0;
}
