#!/usr/bin/env bash
# Checks that take longer than the tests, with fixed seeds: proposals at extreme parameters with more rows and draws, networks on
# traces of 1,000 latents, bad weather for some minutes. Prints each and how it ended.
set -euo pipefail
cd "$(dirname "$0")/.."
export PPX_TEST_ALL=1
echo "== proposals are exact in the limit at extreme parameters"
PPX_VERIFY=1 go test -count=1 -timeout 30m -run TestProposalsAreExactInTheLimit ./ic/head
echo "== networks on long traces"
PPX_BENCH=1 go test -count=1 -timeout 60m -run 'TestLongTraces|TestEndsOfSupports' ./ic/train
echo "== a classifier against ideal ones"
PPX_VERIFY=1 go test -count=1 ./c2st
echo "== calibration: importance sampling, networks, chains, particles"
PPX_VERIFY=1 go test -count=1 -timeout 90m -v -run TestCalibrationsOfAll ./cmd/ppx | grep -E 'calibrate_test|^ *(---|ok|FAIL)'
PPX_VERIFY=1 go test -count=1 -timeout 30m -run TestBroken ./jobs
echo "== auto against references from elsewhere"
PPX_VERIFY=1 go test -count=1 -timeout 40m -v -run 'TestAutoAgainstReferences|TestAutoIsNotLucky' ./cmd/ppx | grep -E 'auto_test|^ *(---|ok|FAIL)'
echo "== the evidence of particles, and rare events"
PPX_VERIFY=1 go test -count=1 -timeout 30m -v -run 'TestEvidenceIsUnbiased|TestRareEvents|TestExactPosteriors' ./smc | grep -E 'smc_test|^(---|ok|FAIL)|^ +--- FAIL'
echo "== chains with a network, on simulators"
PPX_VERIFY=1 go test -count=1 -timeout 10m -run TestGuidedChainsOverSockets ./mcmc
echo "== numbers of hijacked functions"
PPX_VERIFY=1 go test -count=1 -timeout 30m -run TestWrapFamilies ./cmd/ppx
echo "== bad weather, 200,000 draws"
PPX_STORM=200000 go test -count=1 -timeout 30m -v -run 'TestStorm|TestFatalDraws' ./engine | grep -E 'storm_test|^(---|ok|FAIL)'
