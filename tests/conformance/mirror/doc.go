// Package mirror joins the API server's stand-in to a gateway that reads a directory: objects go into the directory
// as their users submitted them, and what the gateway publishes about them comes back as their status, as it is.
//
// What the server keeps in its metadata (uid, generation, creation time) is added to a submitted object, as a user's
// export of it would have it, and nothing else. Defaults are left to the gateway. A status is taken
// whole, unless it is about an object that is gone or about another of the same name. The Services that
// the gateway writes down for its Gateways become the server's, as they are.
package mirror
