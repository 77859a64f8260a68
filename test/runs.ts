/**
 * How often a property is tried with values made up at random: so often by `npm test`, which has to be quick, and ten times
 * as often, or as told, by `npm run test:load` (test/load/properties.e2e.ts), which tries all that ask here at length.
 */
export const runs = (usual: number, long = usual * 10): number => process.env['MODELROUTE_TEST_RUNS'] === 'long' ? long : usual
