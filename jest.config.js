/** Node strips the types itself, so that tests run as written: real ES modules, no transform. */
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // Against real Lightning nodes, by `npm run test:lnd`; a real model, by `npm run test:models`; what takes too long here, by `npm run test:faults`.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/lnd/', '<rootDir>/test/real-models/', '<rootDir>/test/faults/'],
  transform: {},
  extensionsToTreatAsEsm: ['.ts'],
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  // Many tests wait for a process, a lease or a lock: two cores have room for four.
  maxWorkers: 4,
  // Four workers of hundreds of megabytes are torn down at once on two cores: half a second, as jest has it, is not enough.
  workerGracefulExitTimeout: 5_000,
  // Ends what hangs, and says nothing of how fast it must be: a busy machine is no fault.
  testTimeout: 180_000,
};
