/** Messages between a command and a daemon: JSON, one a line, over a stream socket. */
import type { Socket } from 'node:net';

/** What a message may take: 1,000 layers with long paths fit many times. */
const MAX_CHARACTERS = 16 << 20;

export class MessageChannel<In, Out> {
  readonly #socket: Socket;
  readonly #arrived: In[] = [];
  #waiting: ((message: In | undefined) => void) | undefined;
  #partial = '';
  #closed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', () => this.#end());
    socket.on('end', () => this.#end());
    socket.on('close', () => this.#end());
  }

  /** Whether the other side has gone. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The next message, or undefined at the end of the connection, whatever ended it. */
  next(): Promise<In | undefined> {
    const arrived = this.#arrived.shift();
    if (arrived !== undefined || this.#closed) return Promise.resolve(arrived);
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  /** As {@link next}, but undefined too if nothing comes in time. A message that comes later is for the next call. */
  async nextWithin(ms: number): Promise<In | undefined> {
    const timer = setTimeout(() => this.#deliver(undefined), ms);
    try {
      return await this.next();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the message is with the system, or lost because nobody listens any more. */
  send(message: Out): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) resolve();
      else this.#socket.write(`${JSON.stringify(message)}\n`, () => resolve());
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() as string;
    for (const line of lines) {
      try {
        const message = JSON.parse(line) as In;
        if (!this.#deliver(message)) this.#arrived.push(message);
      } catch {
        this.close(); // nothing that speaks to us writes this
      }
    }
    if (this.#partial.length > MAX_CHARACTERS) this.close();
  }

  #deliver(message: In | undefined): boolean {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(message);
    return waiting !== undefined;
  }

  #end(): void {
    this.#closed = true;
    this.#deliver(undefined);
  }
}
