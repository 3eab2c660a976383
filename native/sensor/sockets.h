#ifndef SENSOR_SOCKETS_H
#define SENSOR_SOCKETS_H

/* Print /proc/net/tcp and tcp6 of this network namespace: images need no `cat`. Returns an exit code. */
int print_sockets(void);

#endif
