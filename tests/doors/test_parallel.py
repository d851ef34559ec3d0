"""Eight processes that set, get and delete at once: each sees its own passwords, and none is lost."""

import multiprocessing
import os
import random
import subprocess
import traceback

import vault_keyring

PROCESSES, TURNS, USERS = 8, int(os.environ["DOORS_TURNS"]), 5


def work(number, queue):
    try:
        ring, mine, dice = vault_keyring.Keyring(), {}, random.Random(number)
        for turn in range(TURNS):
            user = "{}-{}".format(number, dice.randrange(USERS))
            action = dice.choice(["set", "get", "delete"])
            if action == "set":
                mine[user] = "{}/{}".format(number, turn)
                ring.set_password("parallel", user, mine[user])
            elif action == "delete" and user in mine:
                ring.delete_password("parallel", user)
                del mine[user]
            assert ring.get_password("parallel", user) == mine.get(user), user
        queue.put((number, mine, None))
    except BaseException:
        queue.put((number, {}, traceback.format_exc()))


def test_no_update_is_lost():
    queue = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(number, queue)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=600) for _ in processes]
    for process in processes:
        process.join()
    failures = [trace for _, _, trace in results if trace]
    assert not failures, failures[0]
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    ring = vault_keyring.Keyring()
    for number, mine, _ in results:
        for user in ("{}-{}".format(number, user) for user in range(USERS)):
            assert ring.get_password("parallel", user) == mine.get(user), user
    subprocess.run([vault_keyring._program(), "check"], check=True, stdout=subprocess.DEVNULL)
