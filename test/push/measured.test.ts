import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { Publisher } from '../../controller/push/publish.ts'
import { listenPush } from '../../controller/push/server.ts'
import { MeasurementStore } from '../../controller/rollout/measurements.ts'
import { noCounts, told } from '../../table/measurements.ts'
import { proxy, recorder, until } from './rig.ts'

const step = { route: 'ml/fraud', rule: 'infer', id: 's1' }

async function judge(t: TestContext) {
  const store = new MeasurementStore()
  const publisher = new Publisher({ log: recorder().log, measured: store.take })
  const server = await listenPush({ host: '127.0.0.1', port: 0, accept: (link, confided) => publisher.accept(link, confided), pingMs: 5_000 })
  t.after(async () => {
    publisher.close()
    await server.close()
  })
  publisher.publish(new Map())
  return { url: server.url, publisher, requests: () => store.sum(step).get('canary')?.requests, proxies: () => publisher.proxies().length }
}

test('every controller hears what was counted, the one that feeds the proxy and the one that may lead', async (t) => {
  const controllers = await Promise.all([judge(t), judge(t)])
  const proxies = ['a', 'b'].map(() => proxy(controllers.map(({ url }) => url)))
  t.after(() => { for (const one of proxies) one.receiver.close() })
  await until('both proxies on both controllers', () => controllers.every((one) => one.proxies() === 2))
  const tell = (at: number, requests: number) =>
    proxies[at]?.receiver.tell({ type: 'measurements', rules: [{ ...step, variants: [told('canary', Object.assign(noCounts(0), { requests }))] }] })
  tell(0, 10)
  tell(0, 30)
  tell(1, 4)
  await until('the sum is known to both', () => controllers.every((one) => one.requests() === 34))
  proxies[1]?.receiver.close()
  await until('one proxy left', () => controllers.every((one) => one.proxies() === 1))
  tell(0, 31)
  await until('what it had counted stays', () => controllers.every((one) => one.requests() === 35))
  assert.equal(controllers.length, 2)
})
