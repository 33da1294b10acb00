package metric

import "strings"

// TCPCounters are what the kernel counts of TCP in a network namespace, in the order of
// cAdvisor's tcp_advanced. The first NumTCPStandard are the line "Tcp" of
// /proc/<pid>/net/snmp (RFC 4022), the others the line "TcpExt" of /proc/<pid>/net/netstat;
// the kernel spells
// them like that but for the case of a few letters. TCPCounter+i is the ID of the i-th.
var TCPCounters = [...]string{
	"RtoAlgorithm",
	"RtoMin",
	"RtoMax",
	"MaxConn",
	"ActiveOpens",
	"PassiveOpens",
	"AttemptFails",
	"EstabResets",
	"CurrEstab",
	"InSegs",
	"OutSegs",
	"RetransSegs",
	"InErrs",
	"OutRsts",
	"InCsumErrors",
	"EmbryonicRsts",
	"SyncookiesSent",
	"SyncookiesRecv",
	"SyncookiesFailed",
	"PruneCalled",
	"RcvPruned",
	"OfoPruned",
	"OutOfWindowIcmps",
	"LockDroppedIcmps",
	"TW",
	"TWRecycled",
	"TWKilled",
	"TCPTimeWaitOverflow",
	"TCPTimeouts",
	"TCPSpuriousRTOs",
	"TCPLossProbes",
	"TCPLossProbeRecovery",
	"TCPRenoRecoveryFail",
	"TCPSackRecoveryFail",
	"TCPRenoFailures",
	"TCPSackFailures",
	"TCPLossFailures",
	"DelayedACKs",
	"DelayedACKLocked",
	"DelayedACKLost",
	"ListenOverflows",
	"ListenDrops",
	"TCPHPHits",
	"TCPPureAcks",
	"TCPHPAcks",
	"TCPRenoRecovery",
	"TCPSackRecovery",
	"TCPSACKReneging",
	"TCPFACKReorder",
	"TCPSACKReorder",
	"TCPRenoReorder",
	"TCPTSReorder",
	"TCPFullUndo",
	"TCPPartialUndo",
	"TCPDSACKUndo",
	"TCPLossUndo",
	"TCPFastRetrans",
	"TCPSlowStartRetrans",
	"TCPLostRetransmit",
	"TCPRetransFail",
	"TCPRcvCollapsed",
	"TCPDSACKOldSent",
	"TCPDSACKOfoSent",
	"TCPDSACKRecv",
	"TCPDSACKOfoRecv",
	"TCPAbortOnData",
	"TCPAbortOnClose",
	"TCPAbortOnMemory",
	"TCPAbortOnTimeout",
	"TCPAbortOnLinger",
	"TCPAbortFailed",
	"TCPMemoryPressures",
	"TCPMemoryPressuresChrono",
	"TCPSACKDiscard",
	"TCPDSACKIgnoredOld",
	"TCPDSACKIgnoredNoUndo",
	"TCPMD5NotFound",
	"TCPMD5Unexpected",
	"TCPMD5Failure",
	"TCPSackShifted",
	"TCPSackMerged",
	"TCPSackShiftFallback",
	"TCPBacklogDrop",
	"PFMemallocDrop",
	"TCPMinTTLDrop",
	"TCPDeferAcceptDrop",
	"IPReversePathFilter",
	"TCPReqQFullDoCookies",
	"TCPReqQFullDrop",
	"TCPFastOpenActive",
	"TCPFastOpenActiveFail",
	"TCPFastOpenPassive",
	"TCPFastOpenPassiveFail",
	"TCPFastOpenListenOverflow",
	"TCPFastOpenCookieReqd",
	"TCPSynRetrans",
	"TCPOrigDataSent",
	"PAWSActive",
	"PAWSEstab",
}

// NumTCPCounters is how many TCPCounters there are.
const NumTCPCounters = len(TCPCounters)

// NumTCPStandard is how many of them are of the standard MIB.
const NumTCPStandard = 15

// withTCPCounters returns the table with a row for each of the TCPCounters.
func withTCPCounters(rows [NumIDs]Desc) [NumIDs]Desc {
	for i, name := range TCPCounters {
		line := "TcpExt of net/netstat"
		if i < NumTCPStandard {
			line = "Tcp of net/snmp"
		}
		rows[TCPCounter+ID(i)] = Desc{Gauge, Count, "tcp.stat." + strings.ToLower(name), name + " in the line " + line + "."}
	}
	return rows
}
