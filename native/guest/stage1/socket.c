/*
 * The channel to stage 2: a connected pair of UNIX sockets, made inside the kernel.  It needs no
 * file system, carries both directions, and shutting it down wakes whoever waits in it.
 */
#include "stage1.h"

#define AF_UNIX 1
#define SOCK_STREAM 1

struct unix_address {
	u16 family;
	char path[1 + sizeof stage1_control.socket_name]; /* abstract: begins with NUL */
};

/* Bind to the host's unguessable name, as it can be connected to for a few microseconds. */
static int listen_at(struct unix_address *address, int *length, struct socket **listener)
{
	const char *name = stage1_control.socket_name;
	int size = 0, result;

	address->family = AF_UNIX;
	address->path[0] = 0;
	while (size < (int)sizeof stage1_control.socket_name && name[size]) {
		address->path[1 + size] = name[size];
		size++;
	}
	*length = sizeof address->family + 1 + size;

	at(STEP_CREATE_SOCKET);
	result = sock_create_kern(&init_net, AF_UNIX, SOCK_STREAM, 0, listener);
	if (result)
		return failed("sock_create_kern", result);
	at(STEP_BIND_SOCKET);
	result = kernel_bind(*listener, address, *length);
	if (!result)
		result = kernel_listen(*listener, 1);
	if (result) {
		sock_release(*listener);
		return failed("kernel_bind", result);
	}
	return 0;
}

/* Connect `*client` to `listener` and accept that as `*server`. */
static int connect_pair(struct socket *listener, struct unix_address *address, int length,
			struct socket **client, struct socket **server)
{
	int result;

	at(STEP_CREATE_SOCKET);
	result = sock_create_kern(&init_net, AF_UNIX, SOCK_STREAM, 0, client);
	if (result)
		return failed("sock_create_kern", result);
	at(STEP_CONNECT_SOCKET);
	result = kernel_connect(*client, address, length, 0);
	if (result) {
		sock_release(*client);
		return failed("kernel_connect", result);
	}
	at(STEP_ACCEPT_SOCKET);
	result = kernel_accept(listener, server, 0);
	if (result) {
		sock_release(*client);
		return failed("kernel_accept", result);
	}
	return 0;
}

int channel_open(struct channel *channel)
{
	struct socket *listener, *client, *server;
	struct unix_address address;
	int length, result;

	result = listen_at(&address, &length, &listener);
	if (result)
		return result;
	result = connect_pair(listener, &address, length, &client, &server);
	sock_release(listener);
	if (result)
		return result;

	at(STEP_SOCKET_FILE);
	channel->server = server;
	channel->server_file = sock_alloc_file(server, 0, NULL);
	if (is_error(channel->server_file)) {
		sock_release(client);
		return failed("sock_alloc_file", (s64)channel->server_file);
	}
	channel->client_file = sock_alloc_file(client, 0, NULL);
	if (is_error(channel->client_file)) {
		filp_close(channel->server_file, NULL);
		return failed("sock_alloc_file", (s64)channel->client_file);
	}
	return 0;
}
