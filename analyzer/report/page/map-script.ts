import { bytes } from '../format.js';
import { squarify } from './treemap.js';

/** Script of the treemap: drawing, zooming by mouse and keyboard, tooltip. */
export const mapScript = `
const bytes = ${bytes.toString()};
const squarify = ${squarify.toString()};
const map = document.getElementById('map');
const tip = document.getElementById('tip');
const crumbs = document.getElementById('crumbs');
const nodes = new Map(); // tile -> { node, trail }
const tree = JSON.parse(document.getElementById('tree').textContent);
let trail = [tree];

const sizeOf = (node) => node.kept + node.removed;
const pathOf = (steps) => {
  const names = steps.slice(1).map((node) => node.name || '(smaller entries)');
  return '/' + names.join('/');
};
const factsOf = (node) => {
  const facts = [bytes(sizeOf(node))];
  if (node.children || node.files !== 1) {
    facts.push(node.files.toLocaleString('en-US') + (node.files === 1 ? ' file' : ' files'));
  }
  if (node.removed === 0) facts.push('all kept');
  else if (node.kept === 0) facts.push('all removed');
  else facts.push(bytes(node.kept) + ' kept, ' + bytes(node.removed) + ' removed');
  if (node.files === 1 && !node.children) facts[facts.length - 1] = node.removed ? 'removed' : 'kept';
  return facts.join(' · ') + (node.reason ? ' · ' + node.reason : '');
};

const paint = (tile, node, box, room) => {
  const share = node.kept / sizeOf(node);
  if (share === 1 || share === 0) {
    tile.classList.add(share ? 'kept' : 'gone');
    return;
  }
  const top = room ? 15 : 0;
  tile.classList.add('dir');
  for (const [name, from, part] of [['kept', 0, share], ['gone', share, 1 - share]]) {
    const half = element('span', name);
    half.style.cssText = 'position:absolute;bottom:0;top:' + top + 'px;left:' + from * 100 + '%;width:' + part * 100 + '%';
    tile.append(half);
  }
};
const onlyChild = (node) => {
  const full = (node.children || []).filter((child) => sizeOf(child) > 0);
  return full.length === 1 && full[0].children ? full[0] : undefined;
};
const draw = (steps, area, into) => {
  const children = steps.at(-1).children.filter((child) => sizeOf(child) > 0);
  squarify(children.map(sizeOf), area).forEach((box, i) => {
    if (box.width < 1.5 || box.height < 1.5) return;
    const below = [...steps, children[i]];
    // a directory that holds one directory and nothing else is shown with it as one
    for (let only = onlyChild(children[i]); only; only = onlyChild(only)) below.push(only);
    const node = below.at(-1);
    const name = below.slice(steps.length).map((step) => step.name).join('/');
    const tile = element('button', 'tile');
    tile.type = 'button';
    tile.tabIndex = -1;
    tile.setAttribute('aria-label', pathOf(below) + ', ' + factsOf(node));
    for (const [side, value] of [['left', box.x], ['top', box.y], ['width', box.width], ['height', box.height]]) {
      tile.style[side] = value + 'px';
    }
    const room = box.width > 34 && box.height > 17;
    const label = element('span', 'name', name || '…');
    nodes.set(tile, { node, steps: below });
    into.append(tile);
    const open = node.children && box.width > 44 && box.height > 38;
    if (open) {
      tile.classList.add('dir');
      draw(below, { x: box.x + 2, y: box.y + 16, width: box.width - 4, height: box.height - 18 }, into);
    } else {
      paint(tile, node, box, room);
      if (node.children) tile.style.cursor = 'zoom-in';
    }
    if (room) tile.append(label);
  });
};
const show = (steps, focus) => {
  trail = steps;
  nodes.clear();
  tip.hidden = true;
  const current = trail.at(-1);
  const made = document.createDocumentFragment();
  if (current.children && sizeOf(current) > 0) {
    draw(trail, { x: 0, y: 0, width: map.clientWidth, height: map.clientHeight }, made);
  }
  map.replaceChildren(made);
  const first = map.querySelector('.tile');
  if (first) first.tabIndex = 0;
  crumbs.replaceChildren(...trail.map((node, i) => {
    const item = element('li');
    const button = element('button', '', i === 0 ? '/' : node.name + (i < trail.length - 1 ? '/' : ''));
    button.type = 'button';
    if (i === trail.length - 1) button.setAttribute('aria-current', 'location');
    button.addEventListener('click', () => show(trail.slice(0, i + 1), true));
    item.append(button);
    return item;
  }));
  document.getElementById('here').textContent = factsOf(current);
  if (focus && first) first.focus();
};
const explain = (tile, x, y) => {
  const found = nodes.get(tile);
  if (!found) {
    tip.hidden = true;
    return;
  }
  tip.replaceChildren(element('b', 'path', pathOf(found.steps)), element('span', '', factsOf(found.node)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(x + 14, innerWidth - width - 8)) + 'px';
  tip.style.top = (y + 18 + height > innerHeight ? Math.max(8, y - height - 12) : y + 18) + 'px';
};
const watch = () => {
  map.addEventListener('mousemove', (event) => explain(event.target.closest('.tile'), event.clientX, event.clientY));
  map.addEventListener('mouseleave', () => { tip.hidden = true; });
  map.addEventListener('focusout', () => { tip.hidden = true; });
  map.addEventListener('focusin', (event) => {
    if (!event.target.matches(':focus-visible')) return;
    const box = event.target.getBoundingClientRect();
    explain(event.target, box.left, Math.min(box.bottom, box.top + 40));
  });
  map.addEventListener('click', (event) => {
    const found = nodes.get(event.target.closest('.tile'));
    if (found && found.node.children) show(found.steps, event.detail === 0);
  });
  map.addEventListener('keydown', (event) => {
    const tiles = [...nodes.keys()];
    const at = tiles.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: tiles.length - 1 }[event.key];
    if (to !== undefined) {
      const next = tiles[Math.max(0, Math.min(to, tiles.length - 1))];
      if (tiles[at]) tiles[at].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    } else if ((event.key === 'Escape' || event.key === 'Backspace') && trail.length > 1) {
      show(trail.slice(0, -1), true);
    } else {
      return;
    }
    event.preventDefault();
  });
  let drawn = '';
  new ResizeObserver(() => {
    const size = map.clientWidth + 'x' + map.clientHeight;
    if (size === drawn) return;
    drawn = size;
    show(trail, false);
  }).observe(map);
};
if (map) watch();
`;
