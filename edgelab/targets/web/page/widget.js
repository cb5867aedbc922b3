// The page of JupyterLab that shows the notebook. Requests come by the widget's messages; answers go back as files that
// the page writes through Jupyter's contents API, since a kernel that waits in a cell receives no message.
const status = {text: 'Getting this browser ready …', lines: new Set()};  // of the widget, in all its views

function configuration() {
  const element = document.getElementById('jupyter-config-data');
  return element ? JSON.parse(element.textContent) : null;
}

// The first mailbox that lies in the folder that the server serves, as the server calls it.
function mailbox(config, places, home) {
  const root = (config.serverRoot ?? '').replace(/^~/, home).replace(/\/+$/, '');
  for (const place of places) if (root && place.startsWith(root + '/')) return place.slice(root.length + 1);
  throw new Error(`the notebook's folder is not in ${root || 'a folder that the server tells'}`);
}

async function write(config, path, bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  const token = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/)?.[1] ?? '';
  const address = `${config.baseUrl}api/contents/${path.split('/').map(encodeURIComponent).join('/')}`;
  const reply = await fetch(address, {
    method: 'PUT', credentials: 'same-origin',
    headers: {'Content-Type': 'application/json', 'X-XSRFToken': decodeURIComponent(token),
              ...(config.token ? {Authorization: `token ${config.token}`} : {})},
    body: JSON.stringify({type: 'file', format: 'base64', content: btoa(text)}),
  });
  if (!reply.ok) throw new Error(`${reply.status} for ${path}`);
}

// Addresses for files that came by a message. A worker made of a blob may load only such.
function assemble(files) {
  const map = {}, text = name => new TextDecoder().decode(files[name]);
  const blob = (data, type) => URL.createObjectURL(new Blob([data], {type}));
  for (const name of Object.keys(files)) {
    if (name.endsWith('.wasm')) map[name] = blob(files[name], 'application/wasm');
    else if (name !== 'litert.js') map[name] = blob(files[name], 'text/javascript');
  }
  map['litert.js'] = blob(text('litert.js').replace('./wasm-utils.js', map['wasm-utils.js']), 'text/javascript');
  return map;
}

export default {
  initialize({model}) {
    const page = crypto.randomUUID(), config = configuration();
    let desk, tools, box;
    const tell = text => { status.text = text; status.lines.forEach(line => { line.textContent = text; }); };
    const answer = async (number, head, parts) => {
      await write(config, `${box}/${number}.part`, tools.pack({number, page, ...head}, parts));
      // The kernel takes both away as soon as it sees this one, before Jupyter has answered: that is no failure. If it
      // could not be written at all, the kernel's own time limit tells.
      await write(config, `${box}/${number}.done`, new Uint8Array([1])).catch(() => {});
    };
    const take = async (message, buffers) => {
      const parts = buffers.map(b => new Uint8Array(b.buffer ?? b, b.byteOffset ?? 0, b.byteLength));
      if (message.kind === 'files' && message.page === page && !desk) {
        const map = assemble(Object.fromEntries(message.names.map((name, i) => [name, parts[i]])));
        tools = await import(map['desk.js']);
        desk = new tools.Desk({map}, map['worker.js']);
        const {head} = await desk.ask({kind: 'hello'}, []);
        await answer(0, head, []);
        tell('This browser runs models for the notebook. Keep it in view.');
      } else if (message.kind === 'request' && message.page === page && desk) {
        const {head, parts: made} = await desk.ask(message.head, parts);
        await answer(message.number, head, made);
      }
    };
    model.on('msg:custom', (message, buffers) => {
      take(message, buffers).catch(error => tell(`This browser cannot run models for the notebook: ${error.message}`));
    });
    (async () => {
      if (!config) throw new Error('this is not JupyterLab');
      box = mailbox(config, model.get('mailboxes'), model.get('home'));
      const variant = 'Suspending' in WebAssembly ? 'jspi_' : '';
      await write(config, `${box}/page.json`, new TextEncoder().encode(JSON.stringify({page, variant})));
    })().catch(error => tell(`This browser cannot run models for the notebook: ${error.message}`));
    return () => desk?.close();
  },
  render({el}) {
    const line = document.createElement('p');
    line.setAttribute('role', 'status');
    line.textContent = status.text;
    status.lines.add(line);
    el.append(line);
    return () => status.lines.delete(line);
  },
};
