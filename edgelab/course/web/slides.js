// Each slide is laid out alone; a tall one goes on to another, and what is still too large for any is shrunk.
const ROOM = {height: 684, width: 1216}, SMALLEST = 0.75;
// Reveal scales slides to the window; sizes are wanted in the slide's own pixels.
const heightOf = element => element.getBoundingClientRect().height / Reveal.getScale();
// What sticks out of a box counts: a wide table does.
const widthOf = box => Math.max(...[box, ...box.querySelectorAll('table, pre, img, svg, math')].map(
  part => part.getBoundingClientRect().right - box.getBoundingClientRect().left)) / Reveal.getScale();
const parts = slide => [...slide.children].filter(part => part.tagName !== 'ASIDE');
function alone(slide, work) {
  const shown = [slide, slide.parentElement].filter(element => element.tagName === 'SECTION');
  const before = shown.map(element => element.getAttribute('style'));
  shown.forEach(element => { element.style.display = 'block'; });
  work(slide);
  shown.forEach((element, i) => {
    if (before[i] === null) element.removeAttribute('style'); else element.setAttribute('style', before[i]);
  });
}
// A table that no slide can hold: the rows that fit stay, the others go into a copy of it.
function breakTable(part, room) {
  const rows = [...part.querySelectorAll('tbody tr')], height = heightOf(part);
  const tables = part.querySelectorAll('table').length;
  if (height <= room || tables !== 1 || rows.length < 6) return;
  const last = part.getBoundingClientRect().top + room * Reveal.getScale();
  const kept = Math.max(3, rows.findIndex(row => row.getBoundingClientRect().bottom > last));
  const copy = part.cloneNode(true);
  copy.querySelectorAll('.jp-Cell-inputWrapper').forEach(code => code.remove());
  [...copy.querySelectorAll('tbody tr')].forEach((row, i) => { if (i < kept) row.remove(); });
  rows.forEach((row, i) => { if (i >= kept) row.remove(); });
  part.after(copy);
  breakTable(copy, ROOM.height / SMALLEST);
}
// A cell with more outputs than a slide can hold: the others go into a copy of it, without the code.
function breakOutputs(part, room) {
  const outputs = part.querySelectorAll('.jp-OutputArea-child');
  if (heightOf(part) <= room || outputs.length < 2) return;
  const copy = part.cloneNode(true);
  copy.querySelectorAll('.jp-Cell-inputWrapper').forEach(code => code.remove());
  copy.querySelector('.jp-OutputArea-child').remove();
  outputs.forEach((output, i) => { if (i > 0) output.remove(); });
  part.after(copy);
  breakOutputs(copy, ROOM.height / SMALLEST);
}
// Whether a part still goes below what is there: rather a little smaller than a slide with two lines on it.
function joins(used, height, isLast, room) {
  const isSparse = used < room / 3, isShort = isLast && height < room / 6;
  return used + height <= room * (isSparse || isShort ? 1.2 : 1);
}
function split(slide) {
  const room = ROOM.height / SMALLEST, rest = [];
  let current = slide, used = 0, waiting = parts(slide);
  while (waiting.length) {
    const part = waiting[0], after = waiting[1];
    if (used && !joins(used, heightOf(part), !after, room)) {
      const left = used < room / 3 ? room - used : room;
      breakOutputs(part, left);
      breakTable(part, left);
    } else if (!used) {
      breakOutputs(part, room);
      breakTable(part, room);
    }
    waiting.shift();
    for (let copy = part.nextElementSibling, i = 0; copy && copy !== after && copy.tagName !== 'ASIDE'; i += 1) {
      waiting.splice(i, 0, copy);
      copy = copy.nextElementSibling;
    }
    const height = heightOf(part);
    if (used && !joins(used, height, !waiting.length, room)) {
      current = document.createElement('section');
      rest.push(current);
      used = 0;
    }
    used += height;
    if (current !== slide) {
      part.classList.remove('fragment');
      current.appendChild(part);
    }
  }
  rest.reverse().forEach(next => slide.after(next));
}
function fit(slide) {
  const box = document.createElement('div');
  box.className = 'fit';
  parts(slide).forEach(part => box.appendChild(part));
  slide.prepend(box);
  let scale = 1;
  for (let step = 0; step < 8; step += 1) {
    box.style.zoom = scale;
    box.style.width = `${ROOM.width / scale}px`;
    const need = Math.max(heightOf(box) / ROOM.height, widthOf(box) / ROOM.width);
    if (need <= 1.0002) break;
    scale /= 1 + 0.8 * (need - 1);  // a smaller size also breaks lines later
  }
  slide.dataset.scale = scale.toFixed(3);
  enlarge(box);
}
// Figures get the room that is left, so that their letters can be read from the last row.
function enlarge(box) {
  const images = [...box.querySelectorAll('figure img')];
  if (!images.length) return;
  const sizes = images.map(image => image.getBoundingClientRect()), scale = Reveal.getScale();
  const highest = sizes.reduce((sum, size) => sum + size.height, 0) / scale;
  const widest = Math.max(...sizes.map(size => size.width)) / scale;
  const factor = Math.min(1.6, 1 + (ROOM.height - heightOf(box) - 8) / highest, 0.98 * ROOM.width / widest);
  if (factor <= 1.02) return;
  const zoom = Number(box.style.zoom);
  images.forEach((image, i) => {
    image.style.maxHeight = 'none';
    image.style.width = `${factor * sizes[i].width / scale / zoom}px`;
  });
}
// A slide without a heading of its own names its section below.
function nameSection() {
  const slide = Reveal.getCurrentSlide(), stack = slide.parentElement;
  const heading = slide.querySelector('h1, h2, h3') ? null : stack.querySelector('h1, h2');
  document.querySelector('.section-name').textContent = heading ? heading.textContent.replace('¶', '') : '';
}
// On paper: a page for each slide, with all that appears step by step. Reveal's own way would miss the slides made here.
function onPaper() {
  const book = document.createElement('div');
  book.className = 'reveal paper';
  for (const slide of leaves()) {
    const page = document.createElement('div');
    page.className = 'page';
    page.appendChild(slide.querySelector('.fit'));
    book.appendChild(page);
  }
  for (const all of [document.documentElement, document.body]) all.classList.remove('reveal-full-page', 'reveal-viewport');
  document.documentElement.classList.add('print-pdf');  // what Reveal does to letters on paper is not for these pages
  document.querySelector('.reveal').replaceWith(book);
}
const leaves = () => [...document.querySelectorAll('.slides section')].filter(s => !s.querySelector('section'));
if (/print-pdf/.test(location.search)) location.replace(`${location.pathname}?paper`);
Reveal.initialize({
  width: 1280, height: 720, margin: 0.02, center: false, hash: true, slideNumber: 'c/t',
  transition: 'none', plugins: [RevealNotes],
}).then(() => {
  leaves().forEach(slide => alone(slide, split));
  Reveal.sync();
  leaves().forEach(slide => alone(slide, fit));
  Reveal.layout();
  const name = document.createElement('div');
  name.className = 'section-name';
  document.querySelector('.reveal').appendChild(name);
  Reveal.on('slidechanged', nameSection);
  nameSection();
  if (location.search === '?paper') onPaper();
  else {
    window.addEventListener('beforeprint', () => {
      onPaper();
      for (const event of ['keydown', 'click']) window.addEventListener(event, () => location.reload());
    });
  }
  document.body.dataset.ready = 'yes';
});
