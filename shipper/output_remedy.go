package shipper

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"github.com/swarmgauge/swarmgauge/secret"
)

// Remedy is what mends a finding, for whoever knows where the agent runs and in which words to
// say it there. The zero value is nothing, or what the check and its text tell.
type Remedy struct {
	Kind RemedyKind
	// Names are those that the server's certificate is for (UseName), or an alias and the
	// index behind it (RemoveAlias).
	Names []string
	// Subject is that of a certificate, and Ended when it did; zero where it is to be another
	// one for another reason (RenewCertificate).
	Subject string
	Ended   time.Time
}

// RemedyKind is the kind of a Remedy.
type RemedyKind uint8

const (
	_ RemedyKind = iota
	// TrustAuthority: the agent has to be given the certificate of the server's authority.
	TrustAuthority
	// UseName: the address has to have a name that is in the server's certificate.
	UseName
	// RenewCertificate: the server needs another certificate.
	RenewCertificate
	// SetClock: the certificate isn't valid yet, by this machine's clock.
	SetClock
	// OtherAddress: something at this address is in the way.
	OtherAddress
	// AllowTemplate: the agent may install the index template, and is told not to.
	AllowTemplate
	// InstallTemplate: somebody else than the agent's user has to install the index template.
	InstallTemplate
	// RunSetup: "agent setup" does it; ForceSetup: with -force.
	RunSetup
	ForceSetup
	// OtherIndex: the names of the indices are in use for something else.
	OtherIndex
	// RemoveAlias: the name of an index is an alias.
	RemoveAlias
)

// remedy has the last finding be mended so.
func (x *outputTest) remedy(r Remedy) {
	x.report.Findings[len(x.report.Findings)-1].Remedy = r
}

// certificateRemedy returns what mends that the server's certificate isn't accepted, or that
// it can't be judged.
func certificateRemedy(err error) Remedy {
	if as[x509.UnknownAuthorityError](err) || errors.Is(err, secret.ErrUnreadable) {
		return Remedy{Kind: TrustAuthority}
	}
	if other, ok := errors.AsType[x509.HostnameError](err); ok {
		names := append([]string(nil), other.Certificate.DNSNames...)
		for _, ip := range other.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		return Remedy{Kind: UseName, Names: names}
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		c := invalid.Cert
		switch {
		case invalid.Reason != x509.Expired:
			return Remedy{Kind: RenewCertificate, Subject: c.Subject.String()}
		case time.Now().Before(c.NotBefore):
			return Remedy{Kind: SetClock}
		}
		return Remedy{Kind: RenewCertificate, Subject: c.Subject.String(), Ended: c.NotAfter}
	}
	if as[*tls.CertificateVerificationError](err) {
		return Remedy{Kind: TrustAuthority}
	}
	return Remedy{}
}
