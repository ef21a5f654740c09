/* The work that is timed: plain system calls, in a process of its own, so that what differs
 * between two file systems is the file system. Prints one line of JSON: the seconds of each pass,
 * and what was seen, which the caller compares with what is there. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, BLOCK = 1 << 20, DEEPEST = 64, CHANGED = 0640 };

static uint64_t files, bytes, wrong, changed; /* changed: files that `chmod` was at */
static char block[BLOCK];

static void die(const char *what, const char *path) {
  fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void file_name(char *path, size_t size, const char *root, int file, int per_dir) {
  snprintf(path, size, "%s/d%03d/f%03d", root, file / per_dir, file % per_dir);
}

/* Every page begins with its own number, so that a page from elsewhere is noticed. */
static void number_pages(char *buffer, size_t length, uint64_t first) {
  for (size_t at = 0; at < length; at += PAGE, first++) memcpy(buffer + at, &first, sizeof first);
}

static void check_page(const char *page, uint64_t number) {
  if (memcmp(page, &number, sizeof number)) wrong++;
}

static void stat_all(const char *root, int count, int per_dir) {
  char path[PAGE];
  struct stat found;
  for (int i = 0; i < count; i++) {
    file_name(path, sizeof path, root, i, per_dir);
    if (lstat(path, &found)) die("lstat", path);
    files++;
    bytes += found.st_size;
  }
}

/* As find does: the whole directory, and lstat of each entry. */
static void walk(int parent, const char *name, int depth) {
  struct stat found;
  struct dirent *entry;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (!dir || depth > DEEPEST) die("opendir", name);
  while ((entry = readdir(dir))) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (fstatat(fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW)) die("fstatat", entry->d_name);
    if (S_ISDIR(found.st_mode)) walk(fd, entry->d_name, depth + 1);
    else {
      files++;
      bytes += found.st_size;
      changed += (found.st_mode & 07777) == CHANGED;
    }
  }
  closedir(dir);
}

static void open_all(const char *root, int count, int per_dir) {
  char path[PAGE];
  for (int i = 0; i < count; i++) {
    file_name(path, sizeof path, root, i, per_dir);
    int fd = open(path, O_RDONLY);
    if (fd < 0) die("open", path);
    ssize_t got = read(fd, block, PAGE);
    if (got < 0) die("read", path);
    check_page(block, i);
    close(fd);
    files++;
    bytes += got;
  }
}

static void read_through(const char *path) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) die("open", path);
  for (ssize_t got; (got = read(fd, block, BLOCK)); bytes += got) {
    if (got < 0) die("read", path);
    check_page(block, bytes / PAGE);
  }
  close(fd);
  files++;
}

static void read_at_random(const char *path, uint64_t size, int count) {
  uint64_t random = 88172645463325252u;
  int fd = open(path, O_RDONLY);
  if (fd < 0) die("open", path);
  for (int i = 0; i < count; i++) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17; /* xorshift64 */
    uint64_t page = random % (size / PAGE);
    ssize_t got = pread(fd, block, PAGE, page * PAGE);
    if (got < 0) die("pread", path);
    check_page(block, page);
    bytes += got;
  }
  close(fd);
  files++;
}

static void write_through(const char *path, uint64_t size) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) die("open", path);
  for (uint64_t at = 0; at < size; at += BLOCK) {
    number_pages(block, BLOCK, at / PAGE);
    if (write(fd, block, BLOCK) != BLOCK) die("write", path);
    bytes += BLOCK;
  }
  if (close(fd)) die("close", path);
  files++;
}

static void create_all(const char *root, int count, int per_dir, ssize_t size) {
  char path[PAGE];
  if (mkdir(root, 0755) && errno != EEXIST) die("mkdir", root);
  for (int i = 0; i < count; i++) {
    if (i % per_dir == 0) {
      snprintf(path, sizeof path, "%s/d%03d", root, i / per_dir);
      if (mkdir(path, 0755)) die("mkdir", path);
    }
    file_name(path, sizeof path, root, i, per_dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) die("create", path);
    if (size > 0) number_pages(block, size, i);
    if (size > 0 && write(fd, block, size) != size) die("write", path);
    if (close(fd)) die("close", path);
    files++;
    bytes += size;
  }
}

/* Each write durable before the next, as a database does it. */
static void write_durably(const char *path, uint64_t size, int count) {
  uint64_t random = 88172645463325252u;
  int fd = open(path, O_RDWR | O_CREAT, 0644);
  if (fd < 0) die("open", path);
  if (ftruncate(fd, size)) die("ftruncate", path);
  for (int i = 0; i < count; i++) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    uint64_t page = random % (size / PAGE);
    number_pages(block, PAGE, page);
    if (pwrite(fd, block, PAGE, page * PAGE) != PAGE) die("pwrite", path);
    if (fdatasync(fd)) die("fdatasync", path);
    bytes += PAGE;
  }
  close(fd);
  files++;
}

static volatile int over;
static double longest;

/* Names that are not there: each asks the file system anew, for none is remembered as absent before. */
static void *look_meanwhile(void *root) {
  char path[PAGE];
  struct stat found;
  for (unsigned i = 0; !over; i++) {
    snprintf(path, sizeof path, "%s/absent%u", (const char *)root, i);
    double start = now();
    if (!lstat(path, &found)) wrong++;
    double waited = now() - start;
    if (waited > longest) longest = waited;
    usleep(500);
  }
  return NULL;
}

/* One byte into the middle of a large file; meanwhile another thread looks names up beside it. */
static void touch_one(const char *root, uint64_t size) {
  char path[PAGE];
  pthread_t other;
  snprintf(path, sizeof path, "%s/big", root);
  if (pthread_create(&other, NULL, look_meanwhile, (void *)root)) die("thread for", path);
  usleep(20000);
  longest = 0;
  double start = now();
  int fd = open(path, O_RDWR);
  if (fd < 0) die("open", path);
  if (pwrite(fd, "!", 1, size / 2) != 1) die("pwrite", path);
  if (close(fd)) die("close", path);
  double took = now() - start;
  over = 1;
  pthread_join(other, NULL);
  printf("%.9f,%.9f", took, longest);
  files++;
  bytes++;
}

/* As rm -rf and chmod -R do: `act` on what is inside, then on the directory itself. */
static void act_within(int parent, const char *name, int depth, void (*act)(int, const char *, int)) {
  struct dirent **entries;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int count = fd < 0 ? -1 : scandirat(fd, ".", &entries, NULL, NULL);
  if (count < 0 || depth > DEEPEST) die("scandir", name);
  for (int i = 0; i < count; free(entries[i++])) {
    const char *child = entries[i]->d_name;
    if (!strcmp(child, ".") || !strcmp(child, "..")) continue;
    if (entries[i]->d_type == DT_DIR) act_within(fd, child, depth + 1, act);
    else {
      act(fd, child, 0);
      files++;
    }
  }
  free(entries);
  close(fd);
  act(parent, name, AT_REMOVEDIR);
}

static void remove_one(int parent, const char *name, int flag) {
  if (unlinkat(parent, name, flag)) die("unlinkat", name);
}

static void chmod_one(int parent, const char *name, int flag) {
  if (fchmodat(parent, name, flag ? 0750 : CHANGED, 0)) die("fchmodat", name);
}

static void act_on_dirs(const char *root, int dirs, void (*act)(int, const char *, int)) {
  char path[PAGE];
  for (int i = 0; i < dirs; i++) {
    snprintf(path, sizeof path, "%s/d%03d", root, i);
    act_within(AT_FDCWD, path, 0, act);
  }
}

/* A whole program; what it prints is not looked at, what it complains about is passed on. */
static void execute(char **argv) {
  int status;
  pid_t child = fork();
  if (child < 0) die("fork for", argv[0]);
  if (child == 0) {
    int null = open("/dev/null", O_RDWR);
    if (null >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0) execvp(argv[0], argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127); /* what is buffered is the parent's to print */
  }
  if (waitpid(child, &status, 0) < 0) die("wait for", argv[0]);
  if (!WIFEXITED(status) || WEXITSTATUS(status)) {
    fprintf(stderr, "%s: wait status %#x\n", argv[0], status);
    exit(1);
  }
}

/* workload PASSES NAME PATH [NUMBER [NUMBER]]; "touch" has two figures instead of passes: its own time, and others' longest wait.
 * workload PASSES exec PROGRAM [ARGUMENT...] */
int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int passes = atoi(argv[1]);
  const char *name = argv[2], *path = argv[3];
  uint64_t first = argc > 4 ? strtoull(argv[4], NULL, 10) : 0, second = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
  printf("{\"seconds\":[");
  if (!strcmp(name, "touch")) {
    touch_one(path, first);
    passes = 0;
  }
  for (int pass = 0; pass < passes; pass++) {
    files = bytes = changed = 0;
    double start = now();
    if (!strcmp(name, "stat")) stat_all(path, first, second);
    else if (!strcmp(name, "walk")) walk(AT_FDCWD, path, 0);
    else if (!strcmp(name, "open")) open_all(path, first, second);
    else if (!strcmp(name, "read")) read_through(path);
    else if (!strcmp(name, "random")) read_at_random(path, first, second);
    else if (!strcmp(name, "write")) write_through(path, first);
    else if (!strcmp(name, "durable")) write_durably(path, first, second);
    else if (!strcmp(name, "create")) create_all(path, first, second, PAGE);
    else if (!strcmp(name, "empty")) create_all(path, first, second, 0);
    else if (!strcmp(name, "exec")) execute(argv + 3);
    else if (!strcmp(name, "remove")) act_on_dirs(path, first, remove_one);
    else if (!strcmp(name, "chmod")) act_on_dirs(path, first, chmod_one);
    else return 2;
    printf("%s%.9f", pass ? "," : "", now() - start);
  }
  printf("],\"files\":%lu,\"bytes\":%lu,\"wrong\":%lu,\"changed\":%lu}\n", files, bytes, wrong, changed);
  return 0;
}
