// A real embedding model, all-MiniLM-L6-v2, and pairs of prompts that look alike.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { adopt } from '../../cluster/process.ts'
import { ensureVenv } from '../venv.ts'

/** `know`: makes the vectors of texts, which it gives at once from then on. */
export type Embedding = Readonly<{ port: number; know(...texts: string[]): Promise<unknown>; stop(): Promise<void> }>

export async function startEmbedding(): Promise<Embedding> {
  const { python, sitePackages } = await ensureVenv('embedding')
  const child = spawn(python, [join(import.meta.dirname, 'server.py'), join(sitePackages, 'all_minilm_l6_v2')], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' } })
  adopt(child)
  const ended = new Promise<void>((resolve) => { child.once('exit', () => resolve()) })
  const port = await Promise.race([
    new Promise<number>((resolve) => { child.stdout.once('data', (line: Buffer) => resolve(Number(line.toString()))) }),
    ended.then(() => { throw new Error('the embedding model did not start') }),
  ])
  return {
    port,
    async know(...input) {
      const response = await fetch(`http://127.0.0.1:${port}/v1/embeddings`, { method: 'POST', body: JSON.stringify({ model: 'minilm', input }) })
      return response.json()
    },
    stop() {
      child.stdin.end()
      return ended
    },
  }
}

/** `same`: an answer to the one answers the other. `unseen`: the lists of words were not made with it in sight. */
export type Pair = Readonly<{ kind: string; same: boolean; unseen: boolean; one: string; other: string }>

export function pairs(): readonly Pair[] {
  const [, ...lines] = readFileSync(join(import.meta.dirname, 'prompts.tsv'), 'utf8').trimEnd().split('\n')
  return lines.map((line) => {
    const [kind = '', one = '', other = ''] = line.split('\t')
    return { kind, same: kind === 'same' || kind === 'unseen same', unseen: kind.startsWith('unseen'), one, other }
  })
}
