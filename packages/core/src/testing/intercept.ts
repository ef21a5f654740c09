/**
 * Stands between the overlay and a layer: every call on the layer, and on the files it opens, passes through one
 * function, which may let it through, refuse it or answer later. The layer itself is left as it is.
 */
import type { Layer, LayerFile } from '../layer.js';

/** One call on a layer or on one of its open files ("file.read" and so on). */
export interface LayerCall {
  name: string;
  args: readonly unknown[];
  /** The open file, for calls on one. */
  file: LayerFile | undefined;
  /** Whether the call may change something. */
  mutates: boolean;
}

/** What every call passes through: `proceed` makes the call and gives the layer's answer. */
export type Interceptor = (call: LayerCall, proceed: () => unknown) => unknown;

const MUTATING: ReadonlySet<string> = new Set([
  'stage',
  'discard',
  'create',
  'commit',
  'setattr',
  'setxattr',
  'removexattr',
  'copyData',
  'file.write',
  'file.allocate',
]);
/** Answers that must come at once: the interface says that these do not fail. */
const UNTOUCHED: ReadonlySet<string> = new Set(['release']);

/** The same layer, with every call going through `interceptor`. */
export function intercept<L extends Layer>(layer: L, interceptor: Interceptor): L {
  const wrapped = new WeakMap<object, LayerFile>();
  const originals = new WeakMap<object, LayerFile>();
  const wrapFile = (file: LayerFile): LayerFile => {
    let proxy = wrapped.get(file);
    if (proxy === undefined) {
      proxy = forward(file, 'file.', file);
      wrapped.set(file, proxy);
      originals.set(proxy, file);
    }
    return proxy;
  };
  const unwrap = (arg: unknown): unknown =>
    typeof arg === 'object' && arg !== null ? (originals.get(arg) ?? arg) : arg;

  const forward = <T extends object>(target: T, prefix: string, file: LayerFile | undefined): T =>
    new Proxy(target, {
      get(_target, property) {
        const member = Reflect.get(target, property, target) as unknown;
        if (typeof member !== 'function') return member;
        const name = prefix + String(property);
        return (...given: unknown[]): unknown => {
          const args = given.map(unwrap);
          const proceed = (): unknown => Reflect.apply(member, target, args) as unknown;
          if (UNTOUCHED.has(name)) return proceed();
          const answer = interceptor({ name, args, file, mutates: MUTATING.has(name) }, proceed);
          return name === 'open' || name === 'openWritable'
            ? whenAnswered(answer, (f) => wrapFile(f as LayerFile))
            : answer;
        };
      },
    });
  return forward(layer, '', undefined);
}

/** Goes on with an answer, at once where it is there at once. */
export function whenAnswered<T, U>(answer: T | PromiseLike<T>, next: (value: T) => U): U | PromiseLike<U> {
  const isPromise = typeof answer === 'object' && answer !== null && 'then' in answer;
  return isPromise ? (answer as PromiseLike<T>).then(next) : next(answer as T);
}
