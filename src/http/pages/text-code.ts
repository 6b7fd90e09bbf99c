import qrcode from 'qrcode';

/** A QR code of any text as inline SVG. Nothing of it is kept: it may hold a secret. */
export function textCode(text: string): Promise<string> {
  return qrcode.toString(text, { errorCorrectionLevel: 'L', margin: 4, type: 'svg' });
}
