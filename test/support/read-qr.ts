import jsQR from 'jsqr';
import { PNG } from 'pngjs';

/** What a camera reads from a picture, by a reader that is not ours; undefined where it finds no code. */
export function readQr(png: Buffer): string | undefined {
  const { data, width, height } = PNG.sync.read(png);
  return jsQR.default(new Uint8ClampedArray(data), width, height)?.data;
}
