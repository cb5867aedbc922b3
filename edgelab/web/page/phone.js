// The page of a phone in class: it runs the model, compares, times what is right, and sends one record.
// The class computer judges that record again; see phone_records.py.
import {Desk, pack, unpack} from './desk.js';

const at = name => new URL(name, location.href).href, element = id => document.getElementById(id);
const tell = text => { element('state').textContent = text; };
const show = lines => element('found').replaceChildren(...lines.map(line => {
  const item = document.createElement('li');
  item.textContent = line;
  return item;
}));
const ns = ms => Math.max(1, Math.round(ms * 1e6));
const ARRAYS = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array};

async function fetchTask() {
  const reply = await fetch(at('task'));
  if (!reply.ok) throw new Error(reply.status === 503 ? 'the class is full' : `the class computer answers ${reply.status}`);
  const {head, parts} = unpack(await reply.arrayBuffer()), [model, ...arrays] = parts;
  const take = specs => Array.from({length: head.rows}, () => arrays.splice(0, specs.length));
  return {...head, model, given: take(head.inputs), wanted: take(head.outputs)};
}

// Root mean square of the difference, relative to the wanted values'; integers have to be the same.
function agrees(task, row, outputs) {
  return task.outputs.every(({dtype}, i) => {
    const [want, have] = [task.wanted[row][i], outputs[i]].map(bytes => new ARRAYS[dtype](bytes.slice().buffer));
    if (want.length !== have.length) return false;
    if (want.every((value, k) => value === have[k])) return true;
    if (dtype !== 'float32') return false;
    const square = list => list.reduce((sum, value) => sum + value * value, 0);
    return Math.sqrt(square(want.map((value, k) => value - have[k])) / square(want)) <= task.tolerance;
  });
}

async function ask(desk, request, parts) {
  const {head, parts: made} = await desk.ask(request, parts);
  if (!head.ok) throw new Error(head.error);
  return {...head, made};
}

async function opening(desk, task, run, common) {
  const before = performance.now(), found = await ask(desk, {kind: 'open', ...common}, [task.model]);
  const opening_ns = ns(performance.now() - before), request = {...common, model: found.model};
  run.console.push(...found.console);
  run.got = found.accelerator;
  run.fully = !!found.fully;
  return {opening_ns, request};
}

// How many inferences last as long as a sample has to: by the fastest of three, since a phone that does something
// else makes one slow, and its first runs are slow anyway.
async function batchFor(desk, last, given, least_ms) {
  let batch = 1;
  for (let look = 0; look < 6; look++) {
    const {times_ms} = await ask(desk, {...last, batch, count: 3}, given), shortest_ms = Math.min(...times_ms) * batch;
    if (shortest_ms >= least_ms) break;
    batch = Math.ceil(batch * Math.min(1.2 * least_ms / Math.max(shortest_ms, least_ms / 100), 100));
  }
  return batch;
}

// One accelerator: opened several times, compared at the first, timed at each where it is right.
async function tried(desk, task, about, accelerator) {
  const run = {accelerator, error: '', console: [], got: '', fully: false, batch: 0, openings: [], elapsed_ns: 0};
  const common = {variant: about.jspi ? 'jspi' : 'plain', accelerator, threads: 1}, started = performance.now();
  const isSoftware = accelerator === 'webgpu' && (about.adapter.fallback ||
    new RegExp(task.software, 'i').test(Object.values(about.adapter).filter(v => typeof v === 'string').join(' ')));
  let outputs = [];
  try {
    for (let i = 0; i < task.openings; i++) {
      tell(`Running on ${accelerator}: ${i + 1} of ${task.openings}. Keep this page in view.`);
      const {opening_ns, request} = await opening(desk, task, run, common);
      const rows = task.given.map(() => task.inputs);
      if (i === 0) {
        const all = await ask(desk, {kind: 'run', ...request, rows}, task.given.flat());
        run.console.push(...all.console);
        outputs = all.made;
        const width = task.outputs.length;
        const isRight = task.given.every((_, row) => agrees(task, row, outputs.slice(row * width, (row + 1) * width)));
        if (!isRight || isSoftware) break;
      }
      const last = {kind: 'time', ...request, rows: rows.slice(-1)}, given = task.given.at(-1);
      run.batch ||= await batchFor(desk, last, given, Math.max(task.least_ms, 50 * about.clock_ms));
      const warm = await ask(desk, {...last, batch: run.batch, count: 1}, given);
      const timed = await ask(desk, {...last, batch: run.batch, count: task.runs}, given);
      const inNs = found => found.times_ms.map(ms => ns(ms * run.batch));
      run.openings.push({opening_ns, warm_up_ns: inNs(warm), samples_ns: inNs(timed), window_ns: ns(timed.window_ms)});
      await ask(desk, {kind: 'close', ...request}, []);
    }
  } catch (error) {
    Object.assign(run, {error: String(error.message ?? error).slice(0, task.longest_line), openings: []});
    outputs = [];
  }
  run.console = run.console.slice(0, task.most_lines).map(line => line.slice(0, task.longest_line));
  run.elapsed_ns = ns(performance.now() - started);
  return {run, outputs};
}

async function join(name) {
  tell('Fetching the model …');
  const task = await fetchTask(), desk = new Desk(at('./'), at('worker.js'));
  const about = await ask(desk, {kind: 'hello'}, []), made = [];
  for (const accelerator of about.adapter ? ['wasm', 'webgpu'] : ['wasm']) {
    made.push(await tried(desk, task, about, accelerator));
  }
  desk.close();
  tell('Sending …');
  const told = Object.fromEntries(task.about.map(key => [key, about[key]]));
  const head = {ticket: task.ticket, name, about: told, runs: made.map(({run}) => run)};
  const reply = await fetch(at('record'), {
    method: 'POST', headers: {'Content-Type': 'application/octet-stream'}, body: pack(head, made.flatMap(one => one.outputs)),
  });
  const answer = await reply.json().catch(() => ({lines: [`the class computer answers ${reply.status}`]}));
  show([...answer.lines, ...(about.adapter ? [] : ['webgpu: this browser offers no GPU to pages.'])]);
  tell(reply.ok ? 'Done: look at the board. You can close this page.' : 'Not taken. Load the page again to try once more.');
}

element('form').addEventListener('submit', event => {
  event.preventDefault();
  element('run').disabled = true;
  join(element('name').value).catch(error => {
    tell(`That did not work: ${error.message}. Load the page again to try once more.`);
  });
});
