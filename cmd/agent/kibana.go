package main

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"regexp"
)

// kibanaFlags declares where Kibana is, and who asks it.
func (o *options) kibanaFlags(fs *flag.FlagSet) {
	fs.StringVar(&o.KibanaHost, "kibana-host", "", "URL of Kibana, with its base path if it has one: the agent brings the data view and the dashboards there, in the background and once; empty: it leaves Kibana alone")
	fs.StringVar(&o.KibanaSpace, "kibana-space", "", "space of Kibana that they are for; empty for the default one")
	fs.StringVar(&o.KibanaUser, "kibana-user", "", "user for Kibana (default that of -es-user, or the API key)")
	fs.StringVar(&o.KibanaPasswordFile, "kibana-password-file", "", "file with the password of -kibana-user; read again when it changes (default -es-password-file)")
	fs.StringVar(&o.KibanaAPIKeyFile, "kibana-api-key-file", "", "file with an API key for Kibana, encoded or as id:key; read again when it changes (default -es-api-key-file)")
	fs.StringVar(&o.KibanaCAFile, "kibana-ca-file", "", "file with the CA certificates for Kibana; read again when it changes (default -es-ca-file)")
}

// spaceID is what Kibana takes as the id of a space.
const spaceID = `^[a-z0-9_\-]*$`

// checkKibana refuses what can't work.
func (o *options) checkKibana() error {
	if o.KibanaHost != "" {
		u, err := url.Parse(o.KibanaHost)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("-kibana-host can't be %q: it is a URL such as http://kibana:5601 or https://kibana.example/base/path", redact(o.KibanaHost))
		}
		if u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("-kibana-host can't be %q: a URL of Kibana ends with its base path; what is behind ? or # is of a page", redact(o.KibanaHost))
		}
	}
	switch {
	case !regexp.MustCompile(spaceID).MatchString(o.KibanaSpace):
		return fmt.Errorf("-kibana-space can't be %q: it is the id of a space, as it stands behind /s/ in its URLs: of lower-case letters, digits, _ and -", o.KibanaSpace)
	case o.KibanaUser != "" && o.KibanaAPIKeyFile != "":
		return errors.New("-kibana-user and -kibana-api-key-file are both set; keep one")
	case (o.KibanaUser == "") != (o.KibanaPasswordFile == ""):
		return errors.New("-kibana-user and -kibana-password-file belong together; set both or neither")
	}
	return nil
}
