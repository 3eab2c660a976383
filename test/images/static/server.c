/* Serves the files of one directory over HTTP/1.0, one connection at a time. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

static void stop(int signal) { (void)signal; _exit(0); }

static void answer(int client)
{
	char request[4096], path[512], head[64];
	ssize_t got = read(client, request, sizeof request - 1);
	int file = -1;

	if (got <= 0)
		return;
	request[got] = 0;
	if (sscanf(request, "GET /%511[^ ?\r\n]", path) != 1)
		strcpy(path, "index.html");
	if (!strstr(path, ".."))
		file = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(head, sizeof head, "HTTP/1.0 %s\r\n\r\n", file < 0 ? "404 Not Found" : "200 OK");
	if (write(client, head, strlen(head)) > 0 && file >= 0)
		while (sendfile(client, file, NULL, 1 << 20) > 0)
			;
	if (file >= 0)
		close(file);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(8080) };
	int server = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (argc < 2 || chdir(argv[1]) || bind(server, (void *)&address, sizeof address) || listen(server, 16)) {
		perror("server");
		return 1;
	}
	for (;;) {
		int client = accept(server, NULL, NULL);

		if (client < 0)
			continue;
		answer(client);
		shutdown(client, SHUT_WR);
		close(client);
	}
}
