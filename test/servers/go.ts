// Clients of gRPC that are built from their published Go modules.
import { goProgram } from '../cluster/build.ts'

export const ensureGrpcurl = () => goProgram('github.com/fullstorydev/grpcurl/cmd/grpcurl', 'v1.9.4')
export const ensureGhz = () => goProgram('github.com/bojand/ghz/cmd/ghz', 'v0.93.0')
