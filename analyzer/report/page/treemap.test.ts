import { describe, expect, it } from 'vitest';
import { squarify } from './treemap.js';

const area = { x: 10, y: 20, width: 600, height: 400 };

describe('squarify', () => {
  it('lays the example of the paper out in its seven boxes', () => {
    const boxes = squarify([6, 6, 4, 3, 2, 2, 1], { x: 0, y: 0, width: 6, height: 4 });
    const rounded = boxes.map((box) =>
      [box.x, box.y, box.width, box.height].map((n) => Math.round(n * 100) / 100),
    );
    expect(rounded).toEqual([
      [0, 0, 3, 2],
      [0, 2, 3, 2],
      [3, 0, 1.71, 2.33],
      [4.71, 0, 1.29, 2.33],
      [3, 2.33, 1.2, 1.67],
      [4.2, 2.33, 1.2, 1.67],
      [5.4, 2.33, 0.6, 1.67],
    ]);
  });

  it('gives every value its share of the area, inside it and without overlap', () => {
    const values = Array.from({ length: 80 }, (_, i) => 1000 / (i + 1));
    const sum = values.reduce((a, b) => a + b, 0);
    const boxes = squarify(values, area);
    expect(boxes).toHaveLength(80);
    boxes.forEach((box, i) => {
      expect(box.width * box.height).toBeCloseTo(((values[i] ?? 0) / sum) * 240_000, 3);
      expect(box.x).toBeGreaterThanOrEqual(10 - 1e-6);
      expect(box.y + box.height).toBeLessThanOrEqual(420 + 1e-6);
      for (const other of boxes.slice(0, i)) {
        const overlap =
          Math.min(box.x + box.width, other.x + other.width) - Math.max(box.x, other.x) > 1e-6 &&
          Math.min(box.y + box.height, other.y + other.height) - Math.max(box.y, other.y) > 1e-6;
        expect(overlap).toBe(false);
      }
    });
  });

  it('copes with one value, none, and values too small to see', () => {
    expect(squarify([5], area)).toEqual([area]);
    expect(squarify([], area)).toEqual([]);
    const boxes = squarify([1e12, 1, 1], area);
    expect(boxes.every((box) => Object.values(box).every(Number.isFinite))).toBe(true);
  });
});
