#!/bin/bash
# A run on two nodes of four GPUs: sbatch slurm.sh CONFIG.yaml RUN_FOLDER
# On one GPU: sbatch --nodes=1 --ntasks-per-node=1 --gpus-per-node=1 slurm.sh CONFIG.yaml RUN_FOLDER
#
# Prepared data and states lie in the folder of the run, which all nodes must see. Two minutes before the time is over,
# and when it makes room for others, Slurm sends SIGTERM: the run saves its state, ends with status 130, and the job is
# queued again. It then goes on, bit for bit, where it stopped.
#SBATCH --job-name=bottle
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

set -u
config=$1 run=$2
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-8}

# srun itself tells each process its number; training shares every batch among them (batch_size counts the images of all).
srun --kill-on-bad-exit=1 python -u -m xr_cbottle.training "$config" --folder "$run"
status=$?
if [ $status -eq 130 ]; then
    echo "stopped before its end: queued again"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
