/**
 * A read-only layer whose attributes are not shown as they are: what stands between the overlay and a directory of the host
 * where owners or types are kept in another way.
 */
import type {
  Attributes,
  FileHandle,
  FileSystemStatistics,
  Found,
  HandleTarget,
  Layer,
  LayerEntry,
  LayerFile,
  LayerNode,
  OwnerMap,
} from '@ovl/core';

/** A layer that is a directory, behind whatever stands before it. */
export interface DirectoryLayer extends Layer<'sync'> {
  /** See `HostLayer.ignoreUuid`. */
  ignoreUuid(): void;
}

/** A layer as it is, except for what {@link see} changes. */
export abstract class SeenLayer<L extends DirectoryLayer = DirectoryLayer> implements DirectoryLayer {
  readonly root: LayerNode;
  protected readonly layer: L;

  constructor(layer: L) {
    this.root = layer.root;
    this.layer = layer;
  }

  /** What the layer's attributes of an object are shown as. The given ones may be changed and returned. */
  protected abstract see(node: LayerNode, attributes: Attributes): Attributes;

  lookup(dir: LayerNode, name: string): Found | undefined {
    const found = this.layer.lookup(dir, name);
    if (found !== undefined) found.attributes = this.see(found.node, found.attributes);
    return found;
  }

  getattr(node: LayerNode): Attributes {
    return this.see(node, this.layer.getattr(node));
  }

  readdir(dir: LayerNode): LayerEntry[] {
    return this.layer.readdir(dir);
  }

  readlink(node: LayerNode): string {
    return this.layer.readlink(node);
  }

  open(node: LayerNode): LayerFile<'sync'> {
    return this.layer.open(node);
  }

  getxattr(node: LayerNode, name: string): Uint8Array | undefined {
    return this.layer.getxattr(node, name);
  }

  listxattr(node: LayerNode): string[] {
    return this.layer.listxattr(node);
  }

  statfs(): FileSystemStatistics {
    return this.layer.statfs();
  }

  fileHandle(node: LayerNode): FileHandle | undefined {
    return this.layer.fileHandle?.(node);
  }

  resolveHandle(handle: FileHandle): HandleTarget | undefined {
    return this.layer.resolveHandle?.(handle);
  }

  ignoreUuid(): void {
    this.layer.ignoreUuid();
  }

  close(): void {
    this.layer.close?.();
  }
}

/**
 * A lower on an ID-mapped mount (mount_setattr(2)) whose mapping is that of the overlay's owners: it shows them already,
 * and the overlay, which translates once for all its layers, wants them as they are stored.
 */
export class IdmappedLayer extends SeenLayer {
  readonly #owners: OwnerMap;

  constructor(layer: DirectoryLayer, owners: OwnerMap) {
    super(layer);
    this.#owners = owners;
  }

  protected see(_node: LayerNode, attributes: Attributes): Attributes {
    attributes.uid = this.#owners.storedUid(attributes.uid);
    attributes.gid = this.#owners.storedGid(attributes.gid);
    return attributes;
  }
}
