// The page on the wall: the board is loaded anew when it has changed, and the count of records goes along.
const LOOK_MS = 3000, board = document.getElementById('board'), count = document.getElementById('count');
let seen = '';

async function look() {
  const state = await (await fetch('state')).json();
  count.textContent = state.count;
  if (state.board === seen) return;
  seen = state.board;
  board.hidden = false;
  board.src = `board.html?${seen}`;
}

setInterval(() => look().catch(() => {}), LOOK_MS);
look().catch(() => {});
