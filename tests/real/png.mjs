// Pictures of pages in few bytes: a screenshot, which has few colours but many shades between them, with 256 of them.

import zlib from 'node:zlib';

const SIGNATURE = 8; // bytes
const COLOURS = 256;

const CRC = Array.from({ length: 256 }, (_, n) => {
  let sum = n;
  for (let k = 0; k < 8; k += 1) sum = sum & 1 ? 0xedb88320 ^ (sum >>> 1) : sum >>> 1;
  return sum;
});
const crc = (bytes) => ~bytes.reduce((sum, byte) => CRC[(sum ^ byte) & 255] ^ (sum >>> 8), -1) >>> 0;

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc(body));
  return Buffer.concat([length, body, sum]);
}

/** The data of all chunks of a type. */
function data(png, wanted) {
  const found = [];
  for (let at = SIGNATURE; at < png.length;) {
    const end = at + 8 + png.readUInt32BE(at);
    if (png.toString('latin1', at + 4, at + 8) === wanted) found.push(png.subarray(at + 8, end));
    at = end + 4;
  }
  return Buffer.concat(found);
}

/** PNG, 9.4: which of its neighbours a byte is nearest to. */
function paeth(left, up, corner) {
  const [a, b, c] = [left, up, corner].map((near) => Math.abs(left + up - corner - near));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** The bytes of all pixels, without the filters before them (PNG, 9.2). */
function pixels(png, { height, bytes, line }) {
  const raw = zlib.inflateSync(data(png, 'IDAT'));
  const all = Buffer.alloc(line * height);
  for (let y = 0; y < height; y += 1) {
    const [filter, from, to] = [raw[y * (line + 1)], y * (line + 1) + 1, y * line];
    for (let x = 0; x < line; x += 1) {
      const left = x >= bytes ? all[to + x - bytes] : 0;
      const up = y > 0 ? all[to + x - line] : 0;
      const corner = x >= bytes && y > 0 ? all[to + x - line - bytes] : 0;
      const near = [0, left, up, (left + up) >> 1, filter === 4 ? paeth(left, up, corner) : 0][filter];
      all[to + x] = raw[from + x] + near;
    }
  }
  return all;
}

const parts = (colour) => [colour >> 16, (colour >> 8) & 255, colour & 255];
const apart = (one, other) => one.reduce((sum, part, at) => sum + (part - other[at]) ** 2, 0);

/** The colours that are used most, and for each colour the nearest of them. */
function palette(used) {
  const sorted = [...used].sort(([, a], [, b]) => b - a).map(([colour]) => colour);
  const kept = sorted.slice(0, COLOURS).map(parts);
  const places = new Map(sorted.map((colour) => {
    const own = parts(colour);
    const best = kept.reduce((best, other, at) => (apart(own, other) < apart(own, kept[best]) ? at : best), 0);
    return [colour, best];
  }));
  return { kept, places };
}

/** A picture of 8 bits a channel, with or without alpha, which is not kept, as one with a palette. */
export function packed(png) {
  const head = Buffer.from(data(png, 'IHDR'));
  const [width, height] = [head.readUInt32BE(0), head.readUInt32BE(4)];
  const bytes = head[9] === 6 ? 4 : 3;
  const all = pixels(png, { height, bytes, line: width * bytes });
  const colour = (at) => (all[at] << 16) | (all[at + 1] << 8) | all[at + 2];
  const used = new Map();
  for (let at = 0; at < all.length; at += bytes) used.set(colour(at), (used.get(colour(at)) ?? 0) + 1);
  const { kept, places } = palette(used);
  const lines = Buffer.alloc((width + 1) * height); // each begins with a 0: no filter is of use to a palette
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) lines[y * (width + 1) + 1 + x] = places.get(colour((y * width + x) * bytes));
  }
  head[9] = 3;
  return Buffer.concat([
    png.subarray(0, SIGNATURE), chunk('IHDR', head), chunk('PLTE', Buffer.from(kept.flat())),
    chunk('IDAT', zlib.deflateSync(lines, { level: 9, memLevel: 9 })), chunk('IEND', Buffer.alloc(0)),
  ]);
}
