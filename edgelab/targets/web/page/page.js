// The page of a tab or a headless browser: requests come from the local server through a socket, answers go back.
import {Desk, pack, unpack} from './desk.js';

const state = document.querySelector('#state'), tell = text => { state.textContent = text; };
const desk = new Desk(new URL('./', location.href).href, new URL('worker.js', location.href).href);
const socket = new WebSocket(new URL('socket', location.href).href.replace(/^http/, 'ws'));
socket.binaryType = 'arraybuffer';
socket.onopen = async () => {
  const {head} = await desk.ask({kind: 'hello'}, []);
  socket.send(pack({number: 0, ...head}, []));
  tell('Connected. Keep this tab in view: browsers slow down what is hidden.');
};
socket.onmessage = async ({data}) => {
  const {head: {number, ...request}, parts} = unpack(data);
  tell(`Working: ${request.kind}.`);
  const {head, parts: made} = await desk.ask(request, parts);
  if (socket.readyState === WebSocket.OPEN) socket.send(pack({number, ...head}, made));
  tell('Connected. Keep this tab in view: browsers slow down what is hidden.');
};
socket.onclose = ({reason}) => {
  desk.close();
  tell(reason || 'Python has ended the connection. This tab can be closed.');
};
