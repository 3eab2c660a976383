export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/**
 * Squarified treemap (Bruls, Huizing, van Wijk 2000): one box per value inside `area`, of an area in
 * proportion to its value and as square as can be. `values` are positive, biggest first.
 *
 * Its source text is also put into the HTML report, so it uses nothing outside of itself.
 */
export function squarify(values: number[], area: Box): Box[] {
  const boxes: Box[] = [];
  let { x, y, width, height } = area;
  let left = values.reduce((sum, value) => sum + value, 0);
  let start = 0;
  while (start < values.length && left > 0) {
    const scale = (width * height) / left;
    const side = Math.min(width, height);
    let end = start;
    let sum = 0;
    let worst = Infinity;
    // lengthen the row along the short side for as long as its boxes get squarer
    while (end < values.length) {
      const next = sum + (values[end] ?? 0);
      const thickness = (next * scale) / side;
      const longest = ((values[start] ?? 0) * scale) / thickness;
      const shortest = ((values[end] ?? 0) * scale) / thickness;
      const ratio = Math.max(longest / thickness, thickness / shortest);
      if (ratio > worst) break;
      worst = ratio;
      sum = next;
      end++;
    }
    if (end === start) break; // no room that can be measured is left
    const thickness = (sum * scale) / side;
    let offset = 0;
    for (let i = start; i < end; i++) {
      const length = ((values[i] ?? 0) / sum) * side;
      boxes.push(
        width >= height
          ? { x, y: y + offset, width: thickness, height: length }
          : { x: x + offset, y, width: length, height: thickness },
      );
      offset += length;
    }
    if (width >= height) {
      x += thickness;
      width -= thickness;
    } else {
      y += thickness;
      height -= thickness;
    }
    left -= sum;
    start = end;
  }
  return boxes;
}
