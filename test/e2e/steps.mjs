// What people do in a merged view, as shell scripts. Each runs with `bash -euo pipefail` in the merged
// directory; a name that vanishes under `ls` is no fault. $SCRATCH is an empty directory outside of it, $LOWER and $ORIGIN what test/e2e/lower.mjs made.

/** @typedef {{ name: string, script: string, seconds?: number, needs?: string, network?: boolean }} Step */

/** @type {Step[]} */
export const steps = [
  {
    name: 'git: clone, branches, commit, push, gc, fsck',
    script: `
      git clone -q "$ORIGIN" clone
      cd clone
      for branch in branch1 branch2 branch3 branch4 main; do git switch -q $branch; test -z "$(git status --porcelain)"; done
      git switch -qc topic v1
      git mv dir5 renamed; rm -r dir6; echo more >> new1; mkdir -p deep/er; echo x > deep/er/x
      git add -A; git commit -qm 'in the overlay'
      git switch -qc side main; echo side > side; git add -A; git commit -qm side
      git switch -q topic; git merge -q --no-edit side; test "$(cat side)" = side
      git rebase -q --root; git push -q origin topic
      git gc -q --prune=now; git repack -adq; git fsck --full --strict
      test -z "$(git status --porcelain)"; test "$(git rev-parse topic)" = "$(git -C "$ORIGIN" rev-parse topic)"`,
  },
  {
    name: 'git: a repository of the lower layer',
    needs: 'git',
    script: `
      cd repo
      test -z "$(git status --porcelain)"
      git switch -q branch1; test ! -e dir3; test "$(cat dir4/other)" = other
      git switch -q main; test -e dir3; test ! -e dir4/other
      echo changed >> dir1/file1; test "$(git status --porcelain)" = ' M dir1/file1'
      git commit -qam changed; git stash -q || true; git clean -qfdx
      git gc -q --prune=now; git fsck --full --strict; test -z "$(git status --porcelain)"
      git -C "$LOWER/repo" -c safe.directory='*' rev-parse -q --verify main > /dev/null`,
  },
  {
    name: 'npm ci and the build of a project',
    network: true,
    seconds: 120,
    script: `
      cd npm
      npm ci --no-audit --no-fund --loglevel=error
      npm run --silent build
      test "$(node dist/main.cjs)" = 'built in the overlay: 172800000 1.3.0'
      npm ci --no-audit --no-fund --loglevel=error --offline --omit=dev
      test ! -e node_modules/rollup; test -e node_modules/semver`,
  },
  {
    name: 'tar x, new and over lower files',
    script: `
      tree=$(cd "$LOWER" && ls -d usr/usr/share/* | while read -r dir; do echo "$(find "$dir" | wc -l) $dir"; done | sort -n | awk '$1 > 300 && $1 < 3000 { print $2; exit }')
      tar -cf "$SCRATCH/tree.tar" -C "$LOWER" "$tree"
      mkdir untarred; tar -xpf "$SCRATCH/tree.tar" -C untarred
      diff -r --no-dereference "untarred/$tree" "$LOWER/$tree"
      tar -xpf "$SCRATCH/tree.tar"; diff -r --no-dereference "$tree" "$LOWER/$tree"
      tar -cf - untarred | tar -tf - | wc -l`,
  },
  {
    name: 'a C build with make',
    script: `
      cd c
      make -s -j2; test "$(./build/program)" = 820
      make -s -q
      sleep 1.1; sed -i 's/SCALE 1/SCALE 2/' src/parts.h; make -s -j2; test "$(./build/program)" = 1640
      make -s clean; test ! -e build; make -s -j2; test "$(./build/program)" = 1640`,
  },
  ...['delete', 'wal'].map((mode) => ({
    name: `sqlite3, journal_mode=${mode}`,
    script: `
      test "$(sqlite3 old.db 'select count(*) from t')" -ge 5000
      for db in old.db new-${mode}.db; do
        test "$(sqlite3 $db 'pragma journal_mode=${mode}')" = ${mode}
        sqlite3 $db "create table if not exists t(a integer primary key, b text); create index if not exists i on t(b);
          insert into t(b) select hex(randomblob(60)) from generate_series(1, 20000);
          begin; delete from t where a % 3 = 0; update t set b = b || b where a % 5 = 0; commit; vacuum;"
        count=$(sqlite3 $db 'select count(*) from t')
        (for i in $(seq 20); do sqlite3 -cmd '.timeout 20000' $db "insert into t(b) values('one')"; done) &
        (for i in $(seq 20); do sqlite3 -cmd '.timeout 20000' $db "insert into t(b) values('two')"; done) &
        wait
        test "$(sqlite3 $db 'select count(*) from t')" = $((count + 40))
        test "$(sqlite3 $db 'pragma integrity_check')" = ok
      done`,
  })),
  {
    name: 'rm -rf of lower trees, and the same names anew',
    script: `
      tree=usr/usr/lib
      count=$(find "$tree" | wc -l); test "$count" -gt 1000
      rm -rf "$tree"; test ! -e "$tree"; ! ls "$tree" 2> /dev/null
      mkdir "$tree"; test -z "$(ls -A "$tree")"; touch "$tree/only"; test "$(ls -A "$tree")" = only; rm "$tree/only"
      cp -a "$LOWER/$tree/." "$tree/"; test "$(find "$tree" | wc -l)" = "$count"
      diff -r --no-dereference "$tree" "$LOWER/$tree"
      rm -rf "$tree"; echo 'now a file' > "$tree"; test -f "$tree"`,
  },
  {
    name: 'moving lower directories',
    script: `
      cd repo; rm -rf .git; count=$(find dir7 | wc -l)
      mv dir7 moved; test ! -e dir7; test "$(find moved | wc -l)" = "$count"; diff -r moved "$LOWER/repo/dir7"
      mkdir dir7; test -z "$(ls -A dir7)"; echo new > dir7/file7; mv dir7/file7 moved/new; rmdir dir7
      mkdir -p into/a; mv moved into/a/; rm into/a/moved/new; diff -r into/a/moved "$LOWER/repo/dir7"
      mv into/a/moved dir7; diff -r dir7 "$LOWER/repo/dir7"
      mv dir8 dir9/; mv dir9 dir12; diff -r dir12/dir8 "$LOWER/repo/dir8"; test ! -e dir9
      mv -T dir11 dir9; diff -r dir9 "$LOWER/repo/dir11"; cd ..
      mv usr/usr usr/elsewhere; test ! -e usr/usr; find usr/elsewhere > /dev/null; mv usr/elsewhere usr/usr`,
  },
  {
    name: 'four processes at once',
    seconds: 90,
    script: `
      cd shared; mkdir common
      one() {
        for i in $(seq 300); do echo "$1 $i" >> log; done
        case $1 in
          0) for i in $(seq 150); do echo $i > common/tmp.$i; mv common/tmp.$i common/kept.$i; done ;;
          1) for i in $(seq 100); do mkdir common/dir.$i; touch common/dir.$i/x; ln common/dir.$i/x common/link.$i; rm -r common/dir.$i; done ;;
          2) for i in $(seq 20); do find ../c ../usr/usr/share -newer log > /dev/null; ls -l common > /dev/null 2>&1 || true; done ;;
          3) cp -a ../c copy; for i in $(seq 10); do rm -rf copy/src; cp -a ../c/src copy/; done; make -s -C copy ;;
        esac
        for i in $(seq 300 600); do echo "$1 $i" >> log; done
      }
      pids=; for n in 0 1 2 3; do one $n & pids="$pids $!"; done
      for pid in $pids; do wait $pid; done
      test "$(head -n 1 log)" = 'the first line'; test "$(wc -l < log)" = 2405
      for n in 0 1 2 3; do test "$(grep -c "^$n " log)" = 601; done
      test "$(ls common | wc -l)" = 250; test -x copy/build/program`,
  },
];
