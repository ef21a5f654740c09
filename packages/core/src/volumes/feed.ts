/** The change feed of a view: what the trees in it tell, as the view names it. */
import type { ChangeListener, OverlayChange } from '../change-feed.js';
import type { Mounts, Tree } from './mounts.js';

export class Feed {
  readonly #mounts: Mounts;
  readonly #listeners = new Set<ChangeListener>();
  /** What ends the subscription to each tree. */
  readonly #feeds = new Map<Tree, () => void>();

  constructor(mounts: Mounts) {
    this.#mounts = mounts;
  }

  subscribe(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    this.follow();
    return () => {
      this.#listeners.delete(listener);
      this.follow();
    };
  }

  /** Listens to the trees that are in view now, as long as somebody listens here. */
  follow(): void {
    const trees = this.#listeners.size > 0 ? this.#mounts.trees : new Set<Tree>();
    for (const [tree, end] of this.#feeds) {
      if (trees.has(tree)) continue;
      end();
      this.#feeds.delete(tree);
    }
    for (const tree of trees) {
      if (!this.#feeds.has(tree))
        this.#feeds.set(
          tree,
          tree.overlay.subscribe((change) => this.#pass(tree, change)),
        );
    }
  }

  tell(change: OverlayChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  #pass(tree: Tree, change: OverlayChange): void {
    const { type, dir, name } = change;
    for (const { root, at } of tree.volumes) {
      if (root.dentry?.dir === dir && root.dentry.name === name) return this.tell({ type, ...at });
    }
    if (tree === this.#mounts.base || tree.volumeOf(dir) !== undefined) this.tell(change);
  }
}
