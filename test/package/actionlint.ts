import { goProgram } from '../cluster/build.ts'

export const ensureActionlint = () => goProgram('github.com/rhysd/actionlint/cmd/actionlint', 'v1.7.12')
