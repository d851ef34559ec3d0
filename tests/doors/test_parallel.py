"""Eight processes that set, get and delete at once: each sees its own passwords, and none is lost."""

import multiprocessing
import os
import random
import traceback

import vault_keyring

# Without an agent a turn starts two programs.
PROCESSES, TURNS = 8, int(os.environ.get("DOORS_TURNS", 200))


def work(number, queue):
    try:
        ring, mine, dice = vault_keyring.Keyring(), {}, random.Random(number)
        for turn in range(TURNS):
            user = "{}-{}".format(number, dice.randrange(5))
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
    ring = vault_keyring.Keyring()
    for _, mine, _ in results:
        for user, password in mine.items():
            assert ring.get_password("parallel", user) == password
