// Runs models in a browser: the one module behind all hosts (a tab, a headless browser, a widget in JupyterLab).
// It answers requests, {kind, ...} with the bytes of arrays beside them, and keeps models open between them:
//   hello  what this browser is: agent, version, WebGPU adapter, clock
//   open   parts[0] is a .tflite file; gives its number, its tensors, where it runs
//   run    one inference for each row of inputs; gives the outputs' bytes
//   time   the same inference again and again; gives the time of each sample, in ms
//   close  frees a model
// Every line that the runtime writes to the console goes along: it tells of failures that raise no error.
const TYPES = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array};
const VARIANTS = {plain: '', jspi: 'jspi_', threaded: 'threaded_'};
const MOST_LINES = 400, LONGEST_LINE = 500, LEAST_BATCH_MS = 2;
const models = new Map();
let loaded, count = 0;

// `base` is a folder's address, or {map: {name: address}} where the files came by a message.
const at = (base, name) => base.map ? base.map[name] : new URL(name, base).href;

async function runtime(base, variant) {
  if (loaded) {
    if (loaded.variant !== variant) throw new Error(`this worker has loaded the ${loaded.variant} build`);
    return loaded.api;
  }
  const api = await import(at(base, 'litert.js'));
  const script = at(base, `wasm/litert_wasm_${VARIANTS[variant]}internal.js`), started = performance.now();
  // In a worker the loader takes the worker's own address for its own: it is told where its files are.
  self.Module = {locateFile: name => at(base, 'wasm/' + name), mainScriptUrlOrBlob: script};
  // A full name rather than the folder: a blob has no folder.
  await api.loadLiteRt(base.map ? script + '#.js' : at(base, 'wasm/'),
                       {jspi: variant === 'jspi', threads: variant === 'threaded'});
  loaded = {variant, api, load_ms: performance.now() - started};
  return api;
}

async function adapter() {
  if (!navigator.gpu) return null;
  const found = await navigator.gpu.requestAdapter({powerPreference: 'high-performance'});
  if (!found) return null;
  const {vendor, architecture, device, description} = found.info;
  return {vendor, architecture, device, description, fallback: !!(found.info.isFallbackAdapter ?? found.isFallbackAdapter),
          features: [...found.features]};
}

// The smallest step that this page's clock makes, in ms, seen in 30 steps.
function clockStep() {
  let least = Infinity;
  for (let steps = 0, before = performance.now(); steps < 30;) {
    const now = performance.now();
    if (now > before) { least = Math.min(least, now - before); before = now; steps++; }
  }
  return least;
}

async function hello() {
  const data = await navigator.userAgentData?.getHighEntropyValues?.(['fullVersionList', 'platform', 'model'])
    .catch(() => null);
  return {
    agent: navigator.userAgent, brands: data?.fullVersionList ?? [], platform: data?.platform ?? navigator.platform ?? '',
    phone: data?.model ?? '', cores: navigator.hardwareConcurrency ?? 0, secure: self.isSecureContext,
    isolated: self.crossOriginIsolated, jspi: 'Suspending' in WebAssembly, webgpu: 'gpu' in navigator,
    adapter: await adapter().catch(() => null), clock_ms: clockStep(),
  };
}

const details = list => list.map(({name, dtype, shape}) => ({name, dtype, shape: [...shape]}));

async function open({base, variant, accelerator, threads, precision}, [content]) {
  const api = await runtime(base, variant), started = performance.now();
  const options = {accelerator, cpuOptions: {numThreads: threads ?? 1}};
  if (accelerator === 'webgpu') options.gpuOptions = {precision: precision ?? 'fp32'};
  const model = await api.loadAndCompile(content, options), number = ++count;
  models.set(number, model);
  return {head: {
    model: number, accelerator: model.options?.accelerator ?? accelerator, fully: model.isFullyAccelerated,
    compile_ms: performance.now() - started, load_ms: loaded.load_ms,
    inputs: details(model.getInputDetails()), outputs: details(model.getOutputDetails()),
  }};
}

function find(number) {
  const model = models.get(number);
  if (!model) throw new Error('no such model: the page was loaded again');
  return model;
}

// Views on the message's bytes would have to be aligned; a copy always is.
const tensors = (row, parts) => row.map(({dtype, shape}) => {
  if (!TYPES[dtype]) throw new Error(`the browser's tensors hold no ${dtype}`);
  return new loaded.api.Tensor(new TYPES[dtype](parts.shift().slice().buffer), shape);
});

// To host memory: on the GPU only reading a result shows that it is done.
async function infer(model, given) {
  const results = await model.run(given), values = [];
  for (const tensor of results) { values.push(await tensor.data()); tensor.delete(); }
  return values;
}

async function run({model: number, rows}, parts) {
  const model = find(number), outputs = [];
  for (const row of rows) {
    const given = tensors(row, parts);
    for (const v of await infer(model, given)) outputs.push(new Uint8Array(v.buffer, v.byteOffset, v.byteLength).slice());
    given.forEach(tensor => tensor.delete());
  }
  return {head: {rows: rows.length}, parts: outputs};
}

// A sample is the mean of `batch` inferences; with batch 0 as many as last `least_ms`, which the clock can tell.
async function time({model: number, rows: [row], count: samples, batch, least_ms}, parts) {
  const model = find(number), given = tensors(row, parts), times_ms = [];
  if (!batch) {
    let made = 0;
    await infer(model, given);
    const started = performance.now(), enough = Math.max(least_ms, LEAST_BATCH_MS);
    do { await infer(model, given); made++; } while (performance.now() - started < enough);
    batch = Math.max(1, Math.ceil(least_ms / ((performance.now() - started) / made)));
  }
  const began = performance.now();
  for (let i = 0; i < samples; i++) {
    const started = performance.now();
    for (let k = 0; k < batch; k++) await infer(model, given);
    times_ms.push((performance.now() - started) / batch);
  }
  const window_ms = performance.now() - began;
  given.forEach(tensor => tensor.delete());
  return {head: {times_ms, batch, window_ms}};
}

async function close({model: number}) {
  models.get(number)?.delete();
  models.delete(number);
  return {head: {}};
}

const REQUESTS = {hello: async () => ({head: await hello()}), open, run, time, close};

function described(error) {
  if (typeof error === 'number') return `WebAssembly exception ${error}`;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error?.message ?? error);
}

// The runtime's loader keeps the console's functions that it finds: ours are there before it, and stay.
let lines = [], turn = Promise.resolve();
for (const level of ['debug', 'log', 'info', 'warn', 'error']) {
  const own = console[level].bind(console);
  console[level] = (...words) => {
    if (lines.length < MOST_LINES) lines.push(words.map(String).join(' ').slice(0, LONGEST_LINE));
    own(...words);
  };
}

async function answerNow(request, parts) {
  lines = [];
  try {
    const {head, parts: made = []} = await REQUESTS[request.kind](request, [...parts]);
    return {head: {ok: true, ...head, console: lines}, parts: made};
  } catch (error) {
    return {head: {ok: false, error: described(error), console: lines}, parts: []};
  }
}

// One after the other: what an interrupted Python no longer waits for is finished first.
export function answer(request, parts) {
  turn = turn.then(() => answerNow(request, parts));
  return turn;
}
