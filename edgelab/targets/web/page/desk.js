// Hands requests to workers, one for each build of the runtime; what ends one is told, and the next is a fresh one.
export class Desk {
  // base: as in runner.js; source: the worker's address
  constructor(base, source) { Object.assign(this, {base, source, workers: new Map(), waiting: new Map(), count: 0}); }

  worker(variant) {
    let worker = this.workers.get(variant);
    if (worker) return worker;
    worker = new Worker(this.source);
    worker.onmessage = ({data: {number, head, parts}}) => {
      this.waiting.get(number)?.resolve({head, parts});
      this.waiting.delete(number);
    };
    worker.onerror = event => {
      event.preventDefault?.();
      this.end(variant, event.message || 'the worker could not be started');
    };
    this.workers.set(variant, worker);
    return worker;
  }

  end(variant, why) {
    this.workers.get(variant)?.terminate();
    this.workers.delete(variant);
    for (const [number, one] of this.waiting) {
      if (one.variant !== variant) continue;
      one.resolve({head: {ok: false, error: why, ended: true, console: []}, parts: []});
      this.waiting.delete(number);
    }
  }

  ask(request, parts) {
    const number = ++this.count, variant = request.variant ?? 'plain';
    return new Promise(resolve => {
      this.waiting.set(number, {variant, resolve});
      this.worker(variant).postMessage({number, request: {...request, variant, base: this.base}, parts});
    });
  }

  close() { for (const variant of [...this.workers.keys()]) this.end(variant, 'closed'); }
}

// A message: the head's length in 4 bytes, the head as JSON, the parts one after the other.
export function pack(head, parts) {
  const text = new TextEncoder().encode(JSON.stringify({...head, sizes: parts.map(part => part.byteLength)}));
  const whole = new Uint8Array(4 + text.length + parts.reduce((sum, part) => sum + part.byteLength, 0));
  new DataView(whole.buffer).setUint32(0, text.length, true);
  whole.set(text, 4);
  let place = 4 + text.length;
  for (const part of parts) { whole.set(part, place); place += part.byteLength; }
  return whole;
}

export function unpack(buffer) {
  const size = new DataView(buffer).getUint32(0, true), parts = [];
  const {sizes, ...head} = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  let place = 4 + size;
  for (const length of sizes) { parts.push(new Uint8Array(buffer, place, length)); place += length; }
  return {head, parts};
}
