// The camera of the computer that shows this page, which a worker may not ask for:
//   camera-open   asks the user for it; gives the size of its pictures
//   camera-frame  the next picture as a JPEG
//   camera-run    runs a model that is open here on the next pictures; only its answers and times are given
//   camera-close  lets it go: its light goes out
const MOST_PIXELS = 640 * 480, MOST_RUNS = 300, PERMISSION_MS = 60000, NO_PICTURE_MS = 1000, QUALITY = 0.85;

const within = (promise, limit_ms, words) => Promise.race([
  promise, new Promise((_, reject) => setTimeout(() => reject(new Error(words)), limit_ms)),
]);

class Camera {
  async open({device, width, height}) {
    this.close();
    if (!navigator.mediaDevices) throw new Error('InsecureContext: this page may not ask for a camera');
    if (width * height > MOST_PIXELS) throw new Error(`at most ${MOST_PIXELS} pixels are handed out`);
    const wish = {width: {ideal: width}, height: {ideal: height}};
    const ask = video => within(navigator.mediaDevices.getUserMedia({video, audio: false}), PERMISSION_MS,
                                'NotAllowedError: nobody has allowed the camera');
    let stream = await ask(wish);
    if (device > 0) {  // only who may use one camera is told which there are
      const found = (await navigator.mediaDevices.enumerateDevices()).filter(one => one.kind === 'videoinput');
      stream.getTracks().forEach(track => track.stop());
      if (device >= found.length) throw new Error(`NotFoundError: there are ${found.length} cameras`);
      stream = await ask({...wish, deviceId: {exact: found[device].deviceId}});
    }
    this.video = Object.assign(document.createElement('video'), {muted: true, playsInline: true, srcObject: stream});
    await within(this.video.play(), NO_PICTURE_MS * 10, 'NotReadableError: the camera delivers no picture');
    this.canvas = new OffscreenCanvas(width, height);
    return {width, height, camera_width: this.video.videoWidth, camera_height: this.video.videoHeight};
  }

  // Waits for the next picture, at most a second: a hidden page is told of none.
  async next() {
    if (!this.video?.srcObject?.active) throw new Error('NotReadableError: the camera is closed or was taken away');
    const asked = performance.now();
    await new Promise(resolve => {
      setTimeout(resolve, NO_PICTURE_MS);
      this.video.requestVideoFrameCallback(resolve);
    });
    return performance.now() - asked;
  }

  // The largest middle part of the picture that has the canvas's proportions, shrunk to it.
  draw(canvas) {
    const {videoWidth: w, videoHeight: h} = this.video, scale = Math.min(w / canvas.width, h / canvas.height);
    const [cut_w, cut_h] = [canvas.width * scale, canvas.height * scale];
    const pen = canvas.getContext('2d', {willReadFrequently: true});
    pen.drawImage(this.video, (w - cut_w) / 2, (h - cut_h) / 2, cut_w, cut_h, 0, 0, canvas.width, canvas.height);
    return pen;
  }

  async frame() {
    const waited_ms = await this.next();
    this.draw(this.canvas);
    const blob = await this.canvas.convertToBlob({type: 'image/jpeg', quality: QUALITY});
    return {head: {waited_ms}, parts: [new Uint8Array(await blob.arrayBuffer())]};
  }

  // A model's answers beside the camera: no picture is handed to anybody.
  async run(request, ask) {
    const [, height, width] = request.shape, canvas = new OffscreenCanvas(width, height), times_ms = [], parts = [];
    const row = [{dtype: request.dtype, shape: request.shape}];
    for (let i = 0; i < Math.min(request.count, MOST_RUNS); i++) {
      await this.next();
      const started = performance.now(), {data} = this.draw(canvas).getImageData(0, 0, width, height);
      const pixels = new (request.dtype === 'float32' ? Float32Array : Uint8Array)(width * height * 3);
      for (let k = 0, j = 0; k < data.length; k++) if (k % 4 < 3) pixels[j++] = data[k];
      const {head, parts: made} = await ask({...request, kind: 'run', rows: [row]}, [new Uint8Array(pixels.buffer)]);
      if (!head.ok) throw new Error(head.error);
      times_ms.push(performance.now() - started);
      parts.push(...made);
    }
    return {head: {times_ms}, parts};
  }

  close() {
    this.video?.srcObject?.getTracks().forEach(track => track.stop());
    this.video = null;
    return {head: {}};
  }

  async answer(request, ask) {
    try {
      const kind = request.kind.slice('camera-'.length);
      const {head, parts = []} = kind === 'open' ? {head: await this.open(request)} : await this[kind](request, ask);
      return {head: {ok: true, ...head, console: []}, parts};
    } catch (error) {
      return {head: {ok: false, error: `${error.name}: ${error.message}`, console: []}, parts: []};
    }
  }
}

// Hands requests to workers, one for each build of the runtime; what ends one is told, and the next is a fresh one.
export class Desk {
  // base: as in runner.js; source: the worker's address
  constructor(base, source) { Object.assign(this, {base, source, workers: new Map(), waiting: new Map(), count: 0, camera: new Camera()}); }

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
    if (request.kind.startsWith('camera-')) return this.camera.answer(request, (...sent) => this.ask(...sent));
    const number = ++this.count, variant = request.variant ?? 'plain';
    return new Promise(resolve => {
      this.waiting.set(number, {variant, resolve});
      this.worker(variant).postMessage({number, request: {...request, variant, base: this.base}, parts});
    });
  }

  close() { this.camera.close(); for (const variant of [...this.workers.keys()]) this.end(variant, 'closed'); }
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
