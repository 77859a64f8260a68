import { parentPort } from 'node:worker_threads'
import { asBuffer, perform, resultWith, taskWith, type Task } from './tasks.ts'

/** Reads and writes JSON beside the thread that answers requests. */

/** Below this, bytes may share their memory with much else. */
const ownMin = 65_536

parentPort?.on('message', (task: Task) => {
  const moved = new Set<ArrayBuffer>()
  const result = resultWith(perform(taskWith(task, asBuffer)), (bytes) => {
    const own = bytes.length < ownMin ? asBuffer(Uint8Array.from(bytes)) : bytes
    if (own.buffer instanceof ArrayBuffer) moved.add(own.buffer)
    return own
  })
  parentPort?.postMessage(result, [...moved])
})
