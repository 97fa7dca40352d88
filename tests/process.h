// Runs a program as a user would and keeps what it said.
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "hearth/base/error.h"
#include "tests/paths.h"

namespace hearth::testing {

struct Finished {
  int exit_code;  // 128 + the signal's number if a signal ended it
  std::string out, err;
};

/// Runs args[0] (found in PATH) to its end with `input` as stdin, in this process's environment
/// plus `environment` ("NAME=value"). Its three streams are files, so no pipe can fill up and stall
/// it.
inline Finished run(std::vector<std::string> args, const std::string& input = "",
                    std::vector<std::string> environment = {}) {
  struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  std::unique_ptr<std::FILE, Close> streams[3];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int i = 0; i < 3; i++) {
    streams[i].reset(std::tmpfile());
    ensure(streams[i] != nullptr, "run: no temporary file");
    int fd = fileno(streams[i].get());
    if (i == 0) {
      std::fwrite(input.data(), 1, input.size(), streams[i].get());
      std::rewind(streams[i].get());
    }
    posix_spawn_file_actions_adddup2(&actions, fd, i);
  }
  if (!environment.empty()) {
    environment.insert(environment.begin(), "env");
    args.insert(args.begin(), environment.begin(), environment.end());
  }
  std::vector<char*> argv;
  for (auto& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  // Signals act as usual, whatever nohup or a shell's & left to the tests.
  posix_spawnattr_t usual;
  posix_spawnattr_init(&usual);
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) sigaddset(&signals, signal);
  posix_spawnattr_setsigdefault(&usual, &signals);
  posix_spawnattr_setflags(&usual, POSIX_SPAWN_SETSIGDEF);
  pid_t child;
  int error = posix_spawnp(&child, argv[0], &actions, &usual, argv.data(), environ);
  posix_spawnattr_destroy(&usual);
  posix_spawn_file_actions_destroy(&actions);
  ensure(error == 0, "run: cannot start ", args[0]);
  int status;
  ensure(waitpid(child, &status, 0) == child, "run: lost ", args[0]);

  auto text = [](std::FILE* f) {
    std::string all;
    std::rewind(f);
    for (int c; (c = std::fgetc(f)) != EOF;) all += char(c);
    return all;
  };
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text(streams[1].get()),
          text(streams[2].get())};
}

/// Runs hearth_binary().
inline Finished run_hearth(std::vector<std::string> args, const std::string& input = "",
                           std::vector<std::string> environment = {}) {
  args.insert(args.begin(), hearth_binary());
  return run(std::move(args), input, std::move(environment));
}

}  // namespace hearth::testing
