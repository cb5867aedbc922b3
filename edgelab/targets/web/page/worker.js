// A classic worker: the runtime's loader needs importScripts, which module workers lack. The page stays responsive.
let runner;
self.onmessage = async ({data: {number, request, parts}}) => {
  let made;
  try {
    runner ??= await import(request.base.map ? request.base.map['runner.js'] : new URL('runner.js', request.base).href);
    made = await runner.answer(request, parts);
  } catch (error) {
    made = {head: {ok: false, error: String(error), console: []}, parts: []};
  }
  self.postMessage({number, ...made}, [...new Set(made.parts.map(part => part.buffer))]);
};
