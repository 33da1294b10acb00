package web

import (
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
)

// Paths of cAdvisor's pages below the prefix.
const (
	containersPath = "/containers"
	dockerPath     = "/docker"
	podmanPath     = "/podman"
	staticPath     = "/static"
	validatePath   = "/validate"
	profilePath    = "/debug/pprof"
)

// Reserved tells whether a path below the prefix is taken, so that metrics can't be there.
func Reserved(path string) bool {
	return path == HealthPath || slices.ContainsFunc([]string{
		containersPath, dockerPath, podmanPath, staticPath, validatePath, profilePath, strings.TrimSuffix(apiPath, "/"),
	}, func(taken string) bool { return path == taken || strings.HasPrefix(path, taken+"/") })
}

// routeAround adds the routes beside health, metrics and the API. Whatever isn't there
// leads to the page of the node, as with cAdvisor.
func (o *Options) routeAround(mux *http.ServeMux, expensive *gate) {
	protected := func(h http.Handler) http.Handler {
		if o.Auth != nil && o.AuthPagesOnly {
			return o.Auth.Wrap(h)
		}
		return h
	}
	start := http.RedirectHandler(o.Prefix+containersPath+"/", http.StatusTemporaryRedirect)
	mux.Handle(o.Prefix+"/", start)
	// cAdvisor's own; those of the others are the mux's.
	mux.Handle(o.Prefix+containersPath, http.RedirectHandler(o.Prefix+containersPath+"/", http.StatusMovedPermanently))
	mux.Handle(o.Prefix+dockerPath, http.RedirectHandler(o.Prefix+dockerPath+"/", http.StatusMovedPermanently))

	mux.Handle(o.Prefix+staticPath+"/", protected(http.StripPrefix(o.Prefix, http.HandlerFunc(serveStatic))))
	if o.Containers != nil {
		p := &pages{o}
		mux.Handle(o.Prefix+containersPath+"/", protected(o.afterFirst(expensive.wrap(http.HandlerFunc(p.serveContainers)))))
		mux.Handle(o.Prefix+dockerPath+"/", protected(o.afterFirst(expensive.wrap(p.runtime(dockerPath, "docker")))))
		mux.Handle(o.Prefix+podmanPath+"/", protected(o.afterFirst(expensive.wrap(p.runtime(podmanPath, "podman")))))
	}
	if o.Validate != nil {
		mux.Handle(o.Prefix+validatePath+"/", expensive.wrap(http.HandlerFunc(o.serveValidate)))
	}
	if o.Profiling {
		// No trace, as with cAdvisor. The index finds the profiles by their paths.
		routes := http.NewServeMux()
		routes.HandleFunc(profilePath+"/", pprof.Index)
		routes.HandleFunc(profilePath+"/cmdline", pprof.Cmdline)
		routes.HandleFunc(profilePath+"/profile", pprof.Profile)
		routes.HandleFunc(profilePath+"/symbol", pprof.Symbol)
		mux.Handle(o.Prefix+profilePath+"/", http.StripPrefix(o.Prefix, routes))
	}
}

// guard puts what every request passes before h: is there a place for its connection, is
// it for this host, is it a method that there is, who sends it, how long is it.
//
// The bare health check passes none but the method's: it tells two bytes, and an agent
// that can't be asked would be killed.
func (o *Options) guard(h http.Handler) http.Handler {
	posts := o.Prefix + apiPath
	h = limitBodies(h)
	health := limitMethods(posts, h)
	if o.Auth != nil && !o.AuthPagesOnly {
		h = o.Auth.Wrap(h)
	}
	h = refuseOverLimit(limitHosts(o.Hosts, limitMethods(posts, h)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == o.Prefix+HealthPath && !r.URL.Query().Has("details") {
			health.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}
