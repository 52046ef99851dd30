"""Several processes at one piece of work, as torchrun starts them.

Process 0 leads: it alone decides, writes and speaks. Whatever changes a scene is told to the others, who hold the same
scene and do the same to it. What takes long, rendering views and scoring by them, is shared out, and the results are
added up. So nothing above the engines knows how many processes there are, and what they decide cannot differ, because
it is decided once.

    environment   what torchrun says of this process
    channel       telling, adding up, and noticing when a process is lost
    photos        which process holds which photo

`leansplat.processes` has the two sides of the work itself. PyTorch's part for this is not imported unless
torchrun started several processes.
"""
