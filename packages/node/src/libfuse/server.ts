/** What every operation works on: the overlay, the paths that libfuse knows, and what it has open. */
import { type Attributes, type OpenHandle, type Overlay, isDirectory, runSync } from '@ovl/core';
import type { ServerOptions } from '../fuse/server.js';
import { HandleTable } from '../fuse/tables.js';
import { VolatileSync } from '../fuse/volatile-sync.js';
import { PathTable } from './path-table.js';
import { InodeNumbers, STAT_NLINK, statOf } from './values.js';

export class PathServer {
  readonly overlay: Overlay<'sync'>;
  readonly options: ServerOptions;
  /** In place of `fsync`, on a volatile mount. */
  readonly volatile: VolatileSync | undefined;
  readonly paths: PathTable;
  readonly files: HandleTable<OpenHandle> = new HandleTable();
  readonly inos: InodeNumbers = new InodeNumbers();
  /** fuse-native does not say who asks. Only the owner may use the mount, see mount-options.ts, so it is this process. */
  readonly owner: { uid: number; gid: number };

  constructor(overlay: Overlay<'sync'>, options: ServerOptions) {
    this.overlay = overlay;
    this.options = options;
    this.volatile = options.volatile === true ? new VolatileSync() : undefined;
    this.paths = new PathTable(overlay);
    this.owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  }

  /** What `stat` shows. */
  stat(attributes: Attributes): Uint32Array {
    const words = statOf(attributes, this.inos.of(attributes.ino));
    if (this.options.staticNlink === true && isDirectory(attributes.mode)) words[STAT_NLINK] = 1;
    return words;
  }

  /** After the unmount: closes what is open, and the layers. */
  close(): void {
    for (const handle of this.files) runSync(this.overlay.release(handle));
    this.paths.close();
    runSync(this.overlay.close());
  }
}
