/** The part of the `macaroon` package that the tests hold ours against; it comes without types. */
declare module 'macaroon' {
  export interface Macaroon {
    readonly identifier: Uint8Array;
    readonly caveats: { identifier: Uint8Array; vid?: Uint8Array }[];
    readonly signature: Uint8Array;
    addFirstPartyCaveat(condition: string | Uint8Array): void;
    addThirdPartyCaveat(rootKey: Uint8Array, condition: string, location: string): void;
    /** Throws where the signature is not that of the root key, or `check` gives a complaint. */
    verify(rootKey: Uint8Array, check: (condition: string) => string | null): void;
    exportBinary(): Uint8Array;
  }
  const macaroon: {
    newMacaroon(parts: { identifier: Uint8Array; rootKey: Uint8Array; location?: string; version?: 2 }): Macaroon;
    importMacaroon(binary: Uint8Array | string): Macaroon;
  };
  export default macaroon;
}
