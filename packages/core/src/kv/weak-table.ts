/**
 * Objects by number, as long as somebody else holds them. Where a runtime has no weak references (workerd without its flag,
 * small engines), they stay for good: found as well, but memory grows with all that was ever looked at.
 */

interface Held<T> {
  deref(): T | undefined;
}

export class WeakTable<T extends object> {
  readonly #held = new Map<number, Held<T>>();
  readonly #gone =
    typeof FinalizationRegistry === 'undefined' || typeof WeakRef === 'undefined'
      ? undefined
      : new FinalizationRegistry<number>((number) => {
          if (this.get(number) === undefined) this.#held.delete(number); // and not another one by now
        });

  get(number: number): T | undefined {
    return this.#held.get(number)?.deref();
  }

  set(number: number, object: T): void {
    this.#held.set(number, this.#gone === undefined ? { deref: () => object } : new WeakRef(object));
    this.#gone?.register(object, number);
  }

  delete(number: number): void {
    this.#held.delete(number);
  }
}
