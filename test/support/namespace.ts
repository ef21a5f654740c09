// Scripts in mount namespaces of their own.
import { tmpdir } from 'node:os';

/**
 * Begins such a script: lets go of the copies of other tests' mounts. With them their servers would live on after the unmount, and
 * whoever waits for that would fail.
 */
export const withoutForeignMounts = `
  sed -n 's:^[^ ]* \\(${tmpdir()}/[^ ]*\\) .*:\\1:p' /proc/self/mounts | tac | while read -r mount; do
    umount -l "$(printf '%b' "$mount")" || true
  done
`;
