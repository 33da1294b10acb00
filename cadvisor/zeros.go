package cadvisor

// What is printed of sockets while their counting is off, in cAdvisor's order of keys.
const (
	zeroTCP = `{"Established":0,"SynSent":0,"SynRecv":0,"FinWait1":0,"FinWait2":0,"TimeWait":0,"Close":0,` +
		`"CloseWait":0,"LastAck":0,"Listen":0,"Closing":0}`
	zeroUDP         = `{"Listen":0,"Dropped":0,"RxQueued":0,"TxQueued":0}`
	zeroTCPAdvanced = `{"RtoAlgorithm":0,"RtoMin":0,"RtoMax":0,"MaxConn":0,"ActiveOpens":0,"PassiveOpens":0,` +
		`"AttemptFails":0,"EstabResets":0,"CurrEstab":0,"InSegs":0,"OutSegs":0,"RetransSegs":0,` +
		`"InErrs":0,"OutRsts":0,"InCsumErrors":0,"EmbryonicRsts":0,"SyncookiesSent":0,` +
		`"SyncookiesRecv":0,"SyncookiesFailed":0,"PruneCalled":0,"RcvPruned":0,"OfoPruned":0,` +
		`"OutOfWindowIcmps":0,"LockDroppedIcmps":0,"TW":0,"TWRecycled":0,"TWKilled":0,` +
		`"TCPTimeWaitOverflow":0,"TCPTimeouts":0,"TCPSpuriousRTOs":0,"TCPLossProbes":0,` +
		`"TCPLossProbeRecovery":0,"TCPRenoRecoveryFail":0,"TCPSackRecoveryFail":0,` +
		`"TCPRenoFailures":0,"TCPSackFailures":0,"TCPLossFailures":0,"DelayedACKs":0,` +
		`"DelayedACKLocked":0,"DelayedACKLost":0,"ListenOverflows":0,"ListenDrops":0,"TCPHPHits":0,` +
		`"TCPPureAcks":0,"TCPHPAcks":0,"TCPRenoRecovery":0,"TCPSackRecovery":0,"TCPSACKReneging":0,` +
		`"TCPFACKReorder":0,"TCPSACKReorder":0,"TCPRenoReorder":0,"TCPTSReorder":0,"TCPFullUndo":0,` +
		`"TCPPartialUndo":0,"TCPDSACKUndo":0,"TCPLossUndo":0,"TCPFastRetrans":0,` +
		`"TCPSlowStartRetrans":0,"TCPLostRetransmit":0,"TCPRetransFail":0,"TCPRcvCollapsed":0,` +
		`"TCPDSACKOldSent":0,"TCPDSACKOfoSent":0,"TCPDSACKRecv":0,"TCPDSACKOfoRecv":0,` +
		`"TCPAbortOnData":0,"TCPAbortOnClose":0,"TCPAbortOnMemory":0,"TCPAbortOnTimeout":0,` +
		`"TCPAbortOnLinger":0,"TCPAbortFailed":0,"TCPMemoryPressures":0,` +
		`"TCPMemoryPressuresChrono":0,"TCPSACKDiscard":0,"TCPDSACKIgnoredOld":0,` +
		`"TCPDSACKIgnoredNoUndo":0,"TCPMD5NotFound":0,"TCPMD5Unexpected":0,"TCPMD5Failure":0,` +
		`"TCPSackShifted":0,"TCPSackMerged":0,"TCPSackShiftFallback":0,"TCPBacklogDrop":0,` +
		`"PFMemallocDrop":0,"TCPMinTTLDrop":0,"TCPDeferAcceptDrop":0,"IPReversePathFilter":0,` +
		`"TCPReqQFullDoCookies":0,"TCPReqQFullDrop":0,"TCPFastOpenActive":0,` +
		`"TCPFastOpenActiveFail":0,"TCPFastOpenPassive":0,"TCPFastOpenPassiveFail":0,` +
		`"TCPFastOpenListenOverflow":0,"TCPFastOpenCookieReqd":0,"TCPSynRetrans":0,` +
		`"TCPOrigDataSent":0,"PAWSActive":0,"PAWSEstab":0}`

	zeroSockets = `,"tcp":` + zeroTCP + `,"tcp6":` + zeroTCP + `,"udp":` + zeroUDP + `,"udp6":` + zeroUDP
)
