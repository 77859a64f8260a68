import { homedir } from 'node:os'
import { join } from 'node:path'

/** Where what tests have installed or built once is kept. */
export const cacheFolder = process.env['MODELROUTE_CACHE'] || join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'modelroute')
