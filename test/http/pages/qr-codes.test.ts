import { describe, expect, it } from '@jest/globals';
import qrcode from 'qrcode';
import { QrCodes } from '../../../src/http/pages/qr-codes.ts';

const invoice = (id: number) => ({ id: `invoice ${id}`, bolt11: `lnbcrt${id}` });

/** What draws, and how often it was asked. */
function counting() {
  const drawn: string[] = [];
  const draw = {
    toString: (text: string) => {
      drawn.push(text);
      return Promise.resolve(text);
    },
    toBuffer: (text: string) => {
      drawn.push(text);
      return text === 'LIGHTNING:LNBCRT-1' ? Promise.reject(new Error('too long')) : Promise.resolve(Buffer.from(text));
    },
  };
  return { drawn, codes: new QrCodes(draw as unknown as typeof qrcode) };
}

describe('the code of an invoice', () => {
  it('is drawn once of each kind, however often and however many at once ask for it', async () => {
    const { drawn, codes } = counting();
    const kinds = () => [codes.png(invoice(1)), codes.svg(invoice(1)), codes.text(invoice(1))];
    for (let time = 0; time < 100; time++) await Promise.all([...kinds(), ...kinds()]);
    expect(drawn).toEqual(['LIGHTNING:LNBCRT1', 'LIGHTNING:LNBCRT1', 'LIGHTNING:LNBCRT1']);
  });

  it('is kept for a bounded number of them, those asked for last', async () => {
    const { drawn, codes } = counting();
    for (let id = 0; id < 1_000; id++) await Promise.all([codes.png(invoice(id)), codes.png(invoice(0))]);
    expect(codes.kept).toBe(500);
    expect(drawn).toHaveLength(1_000);
  });

  it('is tried again where it could not be drawn', async () => {
    const { drawn, codes } = counting();
    for (let time = 0; time < 2; time++) await expect(codes.png(invoice(-1))).rejects.toThrow('too long');
    expect([drawn.length, codes.kept]).toEqual([2, 0]);
  });

  it('says the same as ever', async () => {
    const drawing = await qrcode.toString('LIGHTNING:LNBCRT1', { errorCorrectionLevel: 'L', margin: 4, type: 'svg' });
    expect(await new QrCodes().svg(invoice(1))).toBe(drawing);
  });
});
