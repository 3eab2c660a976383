// Loopback, and the one interface that ip= on the kernel's command line describes
// (Documentation/admin-guide/nfs/nfsroot.rst): CLIENT::GATEWAY:NETMASK:HOSTNAME:DEVICE:off:DNS:DNS.
#ifndef DEBLOAT_INIT_NETWORK_H
#define DEBLOAT_INIT_NETWORK_H

struct network {
  char address[16]; // "" where there is none
  char hostname[65];
  char servers[2][16]; // of names
};

// Bring the interfaces up; what went wrong is said on the console.
void configure_network(struct network *network);

#endif
