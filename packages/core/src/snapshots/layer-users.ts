/** How many overlays use a layer, those that were forked from one another: the last one closes it. */
import type { Layer, UpperLayer } from '../layer.js';

export class LayerUsers {
  readonly #counts = new Map<Layer, number>();
  /** The upper layers among them, each of one overlay. */
  readonly #written = new Set<Layer>();

  has(layer: Layer): boolean {
    return this.#counts.has(layer);
  }

  isWritten(layer: Layer): boolean {
    return this.#written.has(layer);
  }

  enter(layer: Layer): void {
    this.#counts.set(layer, (this.#counts.get(layer) ?? 0) + 1);
  }

  /** From here on `upper` is the one that an overlay writes, in place of `before`. */
  write(upper: UpperLayer, before?: Layer): void {
    if (before !== undefined) this.#written.delete(before);
    this.#written.add(upper);
  }

  /** True for the last user of a layer. */
  leave(layer: Layer): boolean {
    const others = (this.#counts.get(layer) ?? 1) - 1;
    if (others > 0) this.#counts.set(layer, others);
    else {
      this.#counts.delete(layer);
      this.#written.delete(layer);
    }
    return others === 0;
  }
}
